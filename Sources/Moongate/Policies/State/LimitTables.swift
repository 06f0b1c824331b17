/// What `moon.limit` and `moon.concurrency` count for the policy files of the process, by file.
///
/// A file has tables of its own, so that no other policy's keys take their room. They live as long as some generation, or a
/// request that holds a slot, uses them: a reload that keeps a file keeps its counts.
final class LimitTables: Sendable {
    private struct Reference<Table: AnyObject & Sendable>: Sendable {
        weak var table: Table?
    }

    private struct State {
        var rates: [String: Reference<LimitTable>] = [:]
        var slots: [String: Reference<ConcurrencySlots>] = [:]
    }

    private let clock: StateClock
    private let state = Locked(State())

    init(clock: StateClock) { self.clock = clock }

    /// The living table of a file, or a new one. The caller keeps it.
    func rates(of file: String, keys: Int) -> LimitTable {
        state.withLock { state in
            if let known = state.rates[file]?.table { return known }
            let table = LimitTable(file, keys: keys, clock: clock)
            state.rates = state.rates.filter { $0.value.table != nil }
            state.rates[file] = Reference(table: table)
            return table
        }
    }

    func slots(of file: String) -> ConcurrencySlots {
        state.withLock { state in
            if let known = state.slots[file]?.table { return known }
            let slots = ConcurrencySlots()
            state.slots = state.slots.filter { $0.value.table != nil }
            state.slots[file] = Reference(table: slots)
            return slots
        }
    }

    /// Tables in use, by name.
    func living() -> [LimitTable] {
        state.withLock { state in
            state.rates.values.compactMap(\.table).sorted { $0.name < $1.name }
        }
    }
}
