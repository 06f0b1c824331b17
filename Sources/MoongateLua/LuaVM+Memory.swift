import CMoongate

/// What the runs of one policy are charged to, within a VM.
public struct LuaAccount: Sendable, Equatable {
    let number: Int32
    /// The VM's own, without a limit but the VM's.
    public static let host = LuaAccount(number: 0)
}

extension LuaVM {
    /// Bytes on an account.
    public struct MemoryUse: Sendable, Equatable {
        public var held: Int
        /// The most there has been.
        public var peak: Int
        public var limit: Int
    }

    /// An account whose files may hold `limit` bytes. Once they want more, their runs fail, `pcall` or not, and do
    /// not begin any more in this VM.
    public func makeAccount(limit: Int) throws(LuaError) -> LuaAccount {
        let number = mg_lua_new_account(pointer, max(0, limit))
        guard number > 0 else { throw .outOfMemory }
        return LuaAccount(number: number)
    }

    public func memory(of account: LuaAccount) -> MemoryUse {
        let state = mg_lua_account(pointer, account.number)
        return MemoryUse(held: state.held, peak: state.peak, limit: state.limit)
    }

    /// An account that went over its limit, each one once.
    public func takeSpentAccount() -> LuaAccount? {
        let number = mg_lua_take_spent(pointer)
        return number > 0 ? LuaAccount(number: number) : nil
    }
}
