import Glibc

/// Where the policies that come with Moongate lie.
enum ShippedPolicies {
    /// Beside an installed program (`bin/moongate`, `share/moongate/policies`), or in the tree that the program was
    /// built in: the nearest folder above it that has them. `nil` if there are none.
    static func folder() -> String? { folder(ofProgram: programPath()) }

    static func folder(ofProgram program: String?) -> String? {
        guard let program else { return nil }
        var parts = program.split(separator: "/").dropLast()
        while !parts.isEmpty {
            let base = "/" + parts.joined(separator: "/")
            for place in ["\(base)/share/moongate/policies", "\(base)/policies"]
            where access("\(place)/strip-port/init.lua", R_OK) == 0 { return place }
            parts = parts.dropLast()
        }
        return nil
    }

    private static func programPath() -> String? {
        guard let path = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }
}
