/// An endpoint as balancing sees it.
struct BalancerMember: Equatable {
    /// Stands for the address, the same in every worker and process.
    var identity: UInt64
    /// 1 to 1000.
    var weight: Int
    /// 0 first.
    var priority = 0
}
