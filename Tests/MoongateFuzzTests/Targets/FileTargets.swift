import Foundation
import MoongateConfig
import MoongateLint

@testable import Moongate

/// Files that operators write.
extension FuzzTarget {
    static let files = [configuration, dataFile, lists, table, endpointsFile]

    private static let configuration = FuzzTarget("configuration", longestInput: 8192) { bytes in
        do {
            let config = try ConfigurationParser.parse(utf8: bytes, file: "/etc/moongate/moongate.yaml")
            try Violation.check(!config.listeners.isEmpty, "a configuration without listeners")
        } catch let faults as DiagnosticList {
            try checkFaults(faults, bytes)
        }
    }

    /// Users, lists of addresses: YAML, JSON and lines.
    private static let dataFile = FuzzTarget("data-file", longestInput: 4096) { bytes in
        do {
            for path in ["/users.yaml", "/networks.txt"] { _ = try DataFile.parse(Array(bytes), path: path) }
        } catch let faults as DiagnosticList {
            try checkFaults(faults, bytes)
        }
    }

    /// The same, read entry by entry into the lists that policies ask.
    private static let lists = FuzzTarget("lists", longestInput: 4096) { bytes in
        let bytes = Array(bytes)
        for path in ["/list.yaml", "/list.json", "/list.txt"] {
            try read(bytes) { _ = try UserList(bytes, path: path, form: .any) }
            try read(bytes) { _ = try KeyList(bytes, path: path) }
            try read(bytes) { _ = try NetworkList(bytes, path: path) }
            try read(bytes) {
                let lines = try LineList(bytes, path: path)
                try Violation.check(lines.count <= bytes.count + 1, "more lines than bytes")
            }
        }
    }

    private static func read(_ bytes: [UInt8], _ make: () throws -> Void) throws {
        do {
            try make()
        } catch let faults as DiagnosticList {
            try bytes.withUnsafeBufferPointer { try checkFaults(faults, $0) }
        }
    }

    private static let table = FuzzTarget("csv", longestInput: 2048) { bytes in
        do {
            _ = try DataFile.csv(Array(bytes), path: "/table.csv")
        } catch let faults as DiagnosticList {
            try checkFaults(faults, bytes)
        }
    }

    private static let endpointsFile = FuzzTarget("endpoints", longestInput: 2048) { bytes in
        do {
            let endpoints = try EndpointsFile.parse(utf8: Array(bytes), file: "/endpoints.yaml")
            try Violation.check(!endpoints.isEmpty, "a list without endpoints")
        } catch let faults as DiagnosticList {
            try checkFaults(faults, bytes)
        }
    }

    /// What is wrong is said, and where.
    private static func checkFaults(_ faults: DiagnosticList, _ bytes: UnsafeBufferPointer<UInt8>) throws {
        try Violation.check(!faults.diagnostics.isEmpty, "refused without a reason")
        let lines = bytes.split(separator: 10, omittingEmptySubsequences: false).count
        for fault in faults.diagnostics {
            try Violation.check(!fault.message.isEmpty, "a fault without words")
            // Other line breaks than LF count as well.
            let most = lines + bytes.count { $0 == 13 || $0 == 0x85 || $0 == 0xA8 || $0 == 0xA9 } + 1
            try Violation.check(fault.location.line <= most, "line \(fault.location.line) of \(most)")
        }
        _ = faults.description
    }
}
