/// One thread's account with the process's `MemoryBudget`. Thread-confined.
///
/// Bytes that are given back stay here up to `reserve` per use, so that most requests touch no memory that other threads
/// write. Whoever charges bytes gives as many back; `MemoryPermit` does so by itself.
final class MemoryAccount {
    /// Taken and given back at a time.
    static let portion = 16 * 1024
    private static let reserve = 2 * portion

    private let budget: MemoryBudget
    /// Lent by the budget and not in use, by use. Raw, since an array in a class is watched for overlapping uses.
    private let spare: UnsafeMutablePointer<Int>

    init(_ budget: MemoryBudget) {
        self.budget = budget
        spare = .allocate(capacity: MemoryUse.allCases.count)
        spare.initialize(repeating: 0, count: MemoryUse.allCases.count)
    }

    deinit {
        settle()
        spare.deallocate()
    }

    /// - Returns: false when there is not so much left, or the process is short of memory: who asked does without.
    @inline(__always) func tryCharge(_ bytes: Int, _ use: MemoryUse) -> Bool {
        let left = spare[use.rawValue] - bytes
        guard left >= 0, !budget.isClosed else { return tryBorrow(bytes, use) }
        spare[use.rawValue] = left
        return true
    }

    @inline(__always) func giveBack(_ bytes: Int, _ use: MemoryUse) {
        spare[use.rawValue] += bytes
        if spare[use.rawValue] > MemoryAccount.reserve { settle(use, leaving: MemoryAccount.portion) }
    }

    /// Gives everything back that is not in use.
    func settle() { MemoryUse.allCases.forEach { settle($0, leaving: 0) } }

    @inline(never) private func tryBorrow(_ bytes: Int, _ use: MemoryUse) -> Bool {
        // Where a whole portion is too much, the bytes that are missing may not be.
        let missing = bytes - spare[use.rawValue]
        for wanted in [max(missing, MemoryAccount.portion), missing] where budget.tryTake(wanted, use) {
            spare[use.rawValue] += wanted - bytes
            return true
        }
        budget.countRefusal(use)
        return false
    }

    private func settle(_ use: MemoryUse, leaving kept: Int) {
        let excess = spare[use.rawValue] - kept
        guard excess > 0 else { return }
        spare[use.rawValue] -= excess
        budget.giveBack(excess, use)
    }
}

/// Bytes of an account that one owner holds, given back when it ends. It starts with none.
struct MemoryPermit: ~Copyable {
    private let account: MemoryAccount
    private let use: MemoryUse
    private(set) var bytes = 0

    init(_ account: MemoryAccount, _ use: MemoryUse) {
        self.account = account
        self.use = use
    }

    deinit { account.giveBack(bytes, use) }

    /// Takes so many bytes more, all of them or none.
    mutating func tryGrow(by count: Int) -> Bool {
        guard account.tryCharge(count, use) else { return false }
        bytes += count
        return true
    }

    /// Gives back what is held beyond `count` bytes.
    mutating func shrink(to count: Int) {
        guard count < bytes else { return }
        account.giveBack(bytes - count, use)
        bytes = count
    }

    mutating func shrink(by count: Int) { shrink(to: max(0, bytes - count)) }
}
