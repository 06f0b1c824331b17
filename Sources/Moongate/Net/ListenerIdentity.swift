/// A small number for every listener name that this process has ever had.
///
/// Connections outlive generations; through this number they find their listener in the newest one.
struct ListenerIdentity: Sendable, Hashable {
    let number: Int

    /// The same for the same name, for the life of the process.
    static func of(_ name: String) -> ListenerIdentity {
        let number = known.withLock { names in
            if let number = names[name] { return number }
            names[name] = names.count
            return names.count - 1
        }
        return ListenerIdentity(number: number)
    }

    private static let known = Locked<[String: Int]>([:])
}
