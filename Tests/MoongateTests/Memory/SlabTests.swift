import CMoongate
import Glibc
import Testing

@testable import Moongate

@Suite struct SlabTests {
    private static func fill(_ block: UnsafeMutableRawPointer, _ size: Int, _ mark: UInt8) {
        memset(block, Int32(mark), size)
    }

    private static func holds(_ block: UnsafeMutableRawPointer, _ size: Int, _ mark: UInt8) -> Bool {
        (0..<size).allSatisfy { block.load(fromByteOffset: $0, as: UInt8.self) == mark }
    }

    /// Many blocks of random sizes live at the same time, grow and shrink: none ever touches another's bytes.
    @Test func blocksNeverOverlap() throws {
        let slab = try #require(mg_slab_open())
        let opaque = UnsafeMutableRawPointer(slab)
        var random = FastRandom()
        var live: [(block: UnsafeMutableRawPointer, size: Int, mark: UInt8)] = []
        for round in 0..<20_000 {
            let size = Int(random.next() % 1600)
            let mark = UInt8(truncatingIfNeeded: round)
            switch random.next() % 4 {
            case 0, 1:
                let block = try #require(mg_slab_malloc(size, opaque))
                #expect(UInt(bitPattern: block) % 16 == 0)
                SlabTests.fill(block, size, mark)
                live.append((block, size, mark))
            case 2 where !live.isEmpty:
                let item = live.swapRemove(at: Int(random.next() % UInt64(live.count)))
                #expect(SlabTests.holds(item.block, item.size, item.mark))
                mg_slab_free(item.block, opaque)
            case 3 where !live.isEmpty:
                let item = live.swapRemove(at: Int(random.next() % UInt64(live.count)))
                let block = try #require(mg_slab_realloc(item.block, size, opaque))
                #expect(SlabTests.holds(block, min(size, item.size), item.mark))
                SlabTests.fill(block, size, mark)
                live.append((block, size, mark))
            default: break
            }
        }
        #expect(mg_slab_blocks(slab) == live.count)
        for item in live {
            #expect(SlabTests.holds(item.block, item.size, item.mark))
            mg_slab_free(item.block, opaque)
        }
        #expect(mg_slab_blocks(slab) == 0)
        mg_slab_close(slab)
    }

    @Test func clearedBlocksAreZeroAfterUse() throws {
        let slab = try #require(mg_slab_open())
        let opaque = UnsafeMutableRawPointer(slab)
        let used = try #require(mg_slab_malloc(200, opaque))
        SlabTests.fill(used, 200, 0xff)
        mg_slab_free(used, opaque)
        let cleared = try #require(mg_slab_calloc(25, 8, opaque))
        #expect(SlabTests.holds(cleared, 200, 0))
        mg_slab_free(cleared, opaque)
        mg_slab_close(slab)
    }

    @Test func impossibleSizesAreRefused() throws {
        let slab = try #require(mg_slab_open())
        let opaque = UnsafeMutableRawPointer(slab)
        #expect(mg_slab_calloc(Int.max, 3, opaque) == nil)
        #expect(mg_slab_malloc(Int.max, opaque) == nil)
        mg_slab_close(slab)
    }

    /// As with a header field that a request still holds when its connection and worker are gone.
    @Test func closedSlabLivesUntilItsLastBlockIsFree() throws {
        let slab = try #require(mg_slab_open())
        let opaque = UnsafeMutableRawPointer(slab)
        let block = try #require(mg_slab_malloc(64, opaque))
        mg_slab_close(slab)
        SlabTests.fill(block, 64, 7)
        #expect(SlabTests.holds(block, 64, 7))
        mg_slab_free(block, opaque)
    }
}

extension Array {
    /// Takes out one element; the last one takes its place.
    fileprivate mutating func swapRemove(at index: Int) -> Element {
        swapAt(index, count - 1)
        return removeLast()
    }
}
