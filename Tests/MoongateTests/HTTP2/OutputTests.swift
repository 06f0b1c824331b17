import Testing

@testable import Moongate

@Suite struct OutputTests {
    private let pool = OutputPool()

    @Test func outputKeepsWhatWasWrittenAsItGrows() {
        var output = OutputBuffer()
        var expected: [UInt8] = []
        for round in 0..<2000 {
            let piece = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: round % 300)
            piece.withBytes { output.append($0, pool) }
            expected += piece
        }
        #expect(Array(output.bytes.buffer) == expected)
        output.clear(pool)
        #expect(output.isEmpty)
    }

    @Test func headsAreWrittenAsTheRFCHasThem() {
        var output = OutputBuffer()
        output.append(FrameHead(length: 4, type: FrameType.windowUpdate, stream: 0x0102_0304), 0x7fff_fffe, pool)
        #expect(Array(output.bytes.buffer) == [0, 0, 4, 8, 0, 1, 2, 3, 4, 0x7f, 0xff, 0xff, 0xfe])
        let head = FrameHead(parsing: output.bytes.base)
        #expect(head.length == 4 && head.type == FrameType.windowUpdate && head.stream == 0x0102_0304)
        output.clear(pool)
    }

    @Test func reservedBitOfAStreamsNumberIsPassedOver() {
        [UInt8]([0, 0, 0, 0, 0, 0x80, 0, 0, 5]).withBytes { #expect(FrameHead(parsing: $0.base).stream == 5) }
    }

    /// Loans between pieces of the output, at its beginning, at its end, and next to each other.
    @Test func loansStandWhereTheyWereTakenUp() {
        var output = OutputBuffer()
        var loans = BorrowedSegments()
        let lent = (0..<40).map { [UInt8](repeating: 200 + UInt8($0 % 50), count: 1 + $0) }
        var expected: [UInt8] = []
        let storage = lent.map { piece -> Bytes in
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: piece.count)
            copy.initialize(from: piece, count: piece.count)
            return Bytes(copy, piece.count)
        }
        defer { storage.forEach { $0.base.deallocate() } }
        for (round, bytes) in storage.enumerated() {
            loans.append(bytes, behind: output.count, pool)
            expected += lent[round]
            guard round % 3 > 0 else { continue }
            let piece = [UInt8](repeating: UInt8(round), count: round)
            piece.withBytes { output.append($0, pool) }
            expected += piece
        }
        var found: [UInt8] = []
        loans.forEachPart(of: output.bytes) { found += $0.buffer }
        #expect(found == expected)
        #expect(loans.size == lent.reduce(0) { $0 + $1.count })
        loans.clear(pool)
        output.clear(pool)
        #expect(loans.isEmpty)
    }

    @Test func aFullListTakesNoMore() {
        var loans = BorrowedSegments()
        var taken = 0
        [UInt8]([1]).withBytes { bytes in
            while !loans.isFull {
                loans.append(bytes, behind: 0, pool)
                taken += 1
            }
        }
        #expect(taken > 100 && loans.count == taken)
        loans.clear(pool)
    }
}
