import Testing

@testable import Moongate

struct StableHashTests {
    /// Computed apart from this code; a change would move every sticky client.
    @Test func valuesNeverChange() {
        #expect(StableHash.hash(.empty) == 0xefd0_1f60_ba99_2926)
        #expect(StableHash.hash(Bytes("a")) == 0x82a2_a958_a9be_ce5b)
        #expect(StableHash.hash(Bytes("alice")) == 0x3507_d047_a67c_08f4)
        #expect(StableHash.hash(Bytes("alice"), seed: 7) == 0x426b_00be_b8b0_0805)
        let binary: [UInt8] = [255, 0, 128]
        binary.withUnsafeBufferPointer { buffer in
            #expect(StableHash.hash(Bytes(buffer.baseAddress.unsafelyUnwrapped, 3)) == 0x07b5_cbeb_c938_8e00)
        }
    }

    @Test func similarNamesSpreadEvenly() {
        var counts = [Int](repeating: 0, count: 10)
        var below = 0
        for number in 0..<100_000 {
            let hash = "user\(number)".withBytes { StableHash.hash($0) }
            counts[Int(StableHash.bucket(hash, of: 10))] += 1
            if StableHash.fraction(hash) < 0.05 { below += 1 }
        }
        #expect(counts.allSatisfy { (9_600...10_400).contains($0) }, "\(counts)")
        #expect((4_700...5_300).contains(below), "\(below)")
    }

    @Test func seedsChooseIndependently() {
        let both = (0..<10_000).filter { number in
            "user\(number)".withBytes {
                StableHash.fraction(StableHash.hash($0, seed: 1)) < 0.5
                    && StableHash.fraction(StableHash.hash($0, seed: 2)) < 0.5
            }
        }
        #expect((2_350...2_650).contains(both.count), "\(both.count)")
    }

    @Test func rangeEndsAreNeverReached() {
        #expect(StableHash.fraction(.max) < 1)
        #expect(StableHash.fraction(0) == 0)
        #expect(StableHash.bucket(.max, of: 3) == 2)
    }
}
