import Testing

@testable import Moongate

@Suite struct MemoryBudgetTests {
    private let budget = MemoryBudget()

    init() { budget.setLimit(1 << 20) }

    @Test func noMoreThanTheLimitIsLent() {
        #expect(budget.tryTake(1 << 19, .mirrors))
        #expect(budget.tryTake(1 << 17, .attempts))
        #expect(!budget.tryTake(1, .attempts) && !budget.tryTake(1, .mirrors))
        budget.giveBack(100, .mirrors)
        #expect(budget.tryTake(100, .attempts) && !budget.tryTake(1, .attempts))
        #expect(budget.tryTake(1 << 18, .closing) && budget.tryTake(1 << 17, .calls))
        #expect(budget.used == 1 << 20)
        #expect(budget.used(.mirrors) == (1 << 19) - 100 && budget.used(.attempts) == (1 << 17) + 100)
    }

    @Test func mirrorsLeaveSomethingForAttempts() {
        #expect(!budget.tryTake((1 << 19) + 1, .mirrors) && budget.tryTake(1 << 19, .mirrors))
        #expect(!budget.tryTake(1, .mirrors) && budget.tryTake(1 << 17, .attempts))
        #expect(budget.used == (1 << 19) + (1 << 17), "what was refused is not counted")
    }

    @Test func requestsLeaveToOthersWhatIsTheirs() {
        let most = (1 << 20) - (1 << 18) - (1 << 17)
        #expect(!budget.tryTake(most + 1, .attempts) && budget.tryTake(most, .attempts))
        #expect(!budget.tryTake((1 << 18) + 1, .closing) && budget.tryTake(1 << 18, .closing))
        #expect(!budget.tryTake((1 << 17) + 1, .calls) && budget.tryTake(1 << 17, .calls))
        #expect(!budget.tryTake(1, .attempts) && !budget.tryTake(1, .closing) && !budget.tryTake(1, .calls))
        #expect(budget.used == 1 << 20)
    }

    @Test func nothingIsLentWhileMemoryIsShort() {
        budget.setClosed(true)
        #expect(!budget.tryTake(1, .attempts))
        budget.setClosed(false)
        #expect(budget.tryTake(1, .attempts))
    }

    @Test func whatIsHeldStaysWhenTheLimitSinks() {
        #expect(budget.tryTake(1 << 19, .attempts))
        budget.setLimit(1 << 19)
        #expect(!budget.tryTake(1, .attempts))
        budget.giveBack((1 << 17) + (1 << 16), .attempts)
        #expect(!budget.tryTake(1, .attempts))
        budget.giveBack(1, .attempts)
        #expect(budget.tryTake(1, .attempts))
    }

    @Test func threadsTogetherKeepTheLimitAndGiveEverythingBack() async {
        let budget = budget
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let account = MemoryAccount(budget)
                    var isKept = true
                    for round in 0..<20_000 where account.tryCharge(round % 40_000, .mirrors) {
                        if budget.used > 1 << 21 { isKept = false }
                        account.giveBack(round % 40_000, .mirrors)
                    }
                    return isKept
                }
            }
            for await isKept in group { #expect(isKept) }
        }
        #expect(budget.used == 0)
    }
}

@Suite struct MemoryAccountTests {
    private let budget = MemoryBudget()

    init() { budget.setLimit(1 << 20) }

    @Test func smallChargesTouchTheBudgetOnceInAWhile() {
        let account = MemoryAccount(budget)
        #expect(account.tryCharge(10, .attempts))
        #expect(budget.used == MemoryAccount.portion)
        for _ in 0..<1000 { #expect(account.tryCharge(10, .attempts)) }
        #expect(budget.used == MemoryAccount.portion)
        for _ in 0..<1001 { account.giveBack(10, .attempts) }
        #expect(budget.used == MemoryAccount.portion, "the reserve of the thread")
        account.settle()
        #expect(budget.used == 0)
    }

    @Test func whatIsMoreThanTheReserveGoesBack() {
        let account = MemoryAccount(budget)
        #expect(account.tryCharge(1 << 19, .attempts))
        #expect(budget.used == 1 << 19)
        account.giveBack(1 << 19, .attempts)
        #expect(budget.used <= MemoryAccount.portion)
    }

    @Test func theLastBytesAreLentWithoutAPortion() {
        let account = MemoryAccount(budget)
        let most = (1 << 20) - (1 << 18) - (1 << 17)
        #expect(account.tryCharge(most - 100, .attempts))
        #expect(account.tryCharge(100, .attempts) && !account.tryCharge(1, .attempts))
        #expect(budget.refusals(.attempts) == 1)
    }

    @Test func reservesAreNotSpentWhileMemoryIsShort() {
        let account = MemoryAccount(budget)
        #expect(account.tryCharge(10, .mirrors))
        budget.setClosed(true)
        #expect(!account.tryCharge(10, .mirrors))
        account.settle()
        #expect(budget.used == 10)
        account.giveBack(10, .mirrors)
    }

    @Test func reservesOfOneUseAreNotForAnother() {
        let account = MemoryAccount(budget)
        #expect(account.tryCharge(1, .mirrors) && account.tryCharge(1, .closing))
        #expect(budget.used(.mirrors) == MemoryAccount.portion && budget.used(.closing) == MemoryAccount.portion)
    }

    @Test func anAccountThatEndsGivesItsReservesBack() {
        do {
            let account = MemoryAccount(budget)
            #expect(account.tryCharge(1, .mirrors))
            account.giveBack(1, .mirrors)
        }
        #expect(budget.used == 0)
    }
}

@Suite struct MemoryPermitTests {
    private let budget = MemoryBudget()

    init() { budget.setLimit(1 << 20) }

    @Test func aPermitGivesBackWhatItHasWhenItsOwnerEnds() {
        let account = MemoryAccount(budget)
        do {
            var permit = MemoryPermit(account, .closing)
            // The macros take no values that cannot be copied.
            let grown = [permit.tryGrow(by: 1000), permit.tryGrow(by: 200_000), permit.tryGrow(by: 1 << 20)]
            let bytes = permit.bytes
            #expect(grown == [true, true, false], "all or nothing")
            #expect(bytes == 201_000)
            #expect(budget.used(.closing) >= 201_000)
        }
        account.settle()
        #expect(budget.used == 0)
    }

    @Test func shrinkingGivesBackAndNeverMoreThanThereIs() {
        let account = MemoryAccount(budget)
        var permit = MemoryPermit(account, .mirrors)
        var bytes: [Int] = []
        if permit.tryGrow(by: 1000) { bytes.append(permit.bytes) }
        permit.shrink(to: 2000)
        bytes.append(permit.bytes)
        permit.shrink(by: 400)
        bytes.append(permit.bytes)
        permit.shrink(by: 5000)
        bytes.append(permit.bytes)
        #expect(bytes == [1000, 1000, 600, 0])
        account.settle()
        #expect(budget.used == 0)
    }
}
