import MoongateConfig

/// Tells names that are meant to be hooks.
public enum HookSpelling {
    /// Whether a global function of this name can only be meant as a hook.
    public static func looksLikeHook(_ name: String) -> Bool {
        let lower = name.lowercased()
        return lower.hasPrefix("on_") || lower.hasPrefix("envoy_on_")
    }

    /// The hook that was meant by another name; `nil`: none is near.
    public static func meant(by name: String, hooks: [String]) -> String? {
        let plain = hooks.filter { !$0.hasPrefix("envoy_") }
        return Spelling.nearest(to: name, among: name.lowercased().hasPrefix("envoy") ? hooks : plain)
            ?? Spelling.nearest(to: "on_" + name, among: plain)
    }

    /// For a name that looks like a hook and is none.
    public static func hint(for name: String, hooks: [String]) -> String {
        if let meant = meant(by: name, hooks: hooks) { return "did you mean \"\(meant)\"?" }
        return "the hooks are \(hooks.joined(separator: ", ")); make a function of the file's own local"
    }
}
