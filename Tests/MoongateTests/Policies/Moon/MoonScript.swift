import MoongateConfig
import Testing

@testable import Moongate

/// Runs Lua with `moon` while a policy is loaded: the script's own assertions are the test.
enum MoonScript {
    @discardableResult
    static func run(_ script: String, data: [String: String] = [:]) throws -> PolicyBench {
        try PolicyBench(
            ["p.lua": "local moon = require 'moon'\n\(script)\non_request = on_request or print"], [.init("p.lua")],
            data: data)
    }

    /// What the script fails with; empty if it does not.
    static func unhealthyReason(_ script: String, data: [String: String] = [:]) -> String {
        do {
            try run(script, data: data)
            return ""
        } catch let faults as DiagnosticList {
            return faults.description
        } catch {
            return "\(error)"
        }
    }
}
