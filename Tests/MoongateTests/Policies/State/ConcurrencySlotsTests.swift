import Testing

@testable import Moongate

@Suite struct ConcurrencySlotsTests {
    @Test func slotsAreGivenBackWithTheirHolder() {
        let slots = ConcurrencySlots()
        let key = Bytes("k")
        do {
            let held = HeldSlots()
            for count in 1...2 {
                let taken = slots.take(1, key, limit: 2)
                #expect(taken?.count == count)
                if let taken { held.add(taken.key, of: slots) }
            }
            #expect(slots.take(1, key, limit: 2) == nil)
            // Another limit of the file, and another key.
            #expect(slots.take(2, key, limit: 1)?.count == 1)
            #expect(slots.take(1, Bytes("l"), limit: 1)?.count == 1)
        }
        #expect(slots.keys == 2)
        #expect(slots.take(1, key, limit: 2)?.count == 1)
        #expect(slots.take(1, key, limit: 0) == nil)
    }

    /// Keys beyond the bound share their slots, and those that are known go on.
    @Test func thereIsABoundOfKeys() {
        let slots = ConcurrencySlots(keys: 1600)
        #expect(slots.take(1, Bytes("known"), limit: 2) != nil)
        var taken = 0
        for number in 0..<10_000 where "\(number)".withBytes({ slots.take(1, $0, limit: 2) }) != nil { taken += 1 }
        #expect(slots.keys <= 1601)
        #expect(taken > 1400 && taken <= 1602)
        #expect(slots.take(1, Bytes("known"), limit: 2)?.count == 2)
        #expect(slots.take(1, Bytes("known"), limit: 2) == nil)
    }
}
