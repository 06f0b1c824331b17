import Testing

@testable import Moongate

@Suite struct PoolTests {
    private func pool() -> Pool<Int> { Pool(make: { 7 }) { _ in } }

    @Test func recordsAreUsedAgainAsTheyWereLeft() {
        let pool = pool()
        var seen: Set<UnsafeMutableRawPointer> = []
        var changed = 0
        for _ in 0..<1000 {
            let record = pool.take()
            seen.insert(record.opaque)
            if record.pointer.pointee != 7 { changed += 1 }
            record.pointer.pointee = 8
            pool.give(back: record)
        }
        #expect(pool.inUse == 0 && changed > 800 && seen.count <= 128)
    }

    @Test func recordsInUseAreDifferentOnes() {
        let pool = pool()
        let records = (0..<500).map { _ in pool.take() }
        #expect(Set(records.map(\.opaque)).count == 500 && pool.inUse == 500)
        for record in records { pool.give(back: record) }
        #expect(pool.inUse == 0)
    }

    #if DEBUG
        @Test func aRecordThatWasGivenBackRestsBeforeItsNextUse() {
            let pool = pool()
            let record = pool.take()
            let memory = record.opaque
            pool.give(back: record)
            for _ in 0..<20 { #expect(pool.take().opaque != memory) }
        }

        @Test func theUseOfAStaleHandleEndsAProcessWithChecks() async {
            await #expect(processExitsWith: .failure) {
                let pool = Pool<Int>(make: { 7 }) { _ in }
                let record = pool.take()
                pool.give(back: record)
                _ = record.pointer
            }
        }

        @Test func bytesBeyondTheEndEndAProcessWithChecks() async {
            await #expect(processExitsWith: .failure) { _ = Bytes("abc")[3] }
            await #expect(processExitsWith: .failure) { _ = Bytes("abc")[1..<4] }
        }
    #endif
}
