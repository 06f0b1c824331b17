import CMoongate
import MoongateConfig
import MoongateLua

/// `moon.file` and `moon.secret`: what policies take from outside while they are loaded.
enum FileBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "file", "ss?", type: "(path: string, format?: string): any",
                doc: """
                    The contents of a data file, by its ending if no `format` is named: a value for `yaml` and `json` (as \
                    `moon.json.decode` gives it), a list of tables for `csv`, whose first line has the names, the whole for \
                    `text`, and for any other a list of its `lines` without blanks at the ends, empty lines and lines that \
                    begin with `#`. Only while a policy is loaded and in `on_init`; the file is watched from then on. A file that \
                    everybody may write is refused, and so is one of more than 16 MiB. What it gives counts as the policy's memory \
                    on every worker: for long lists there are `moon.users`, `moon.keys`, `moon.networks` and `moon.lines`.
                    """, file),
            LuaBinding(
                "secret", "s", type: "(name: string): string",
                doc: """
                    A secret that the configuration defines under `secrets`, from a file or an environment variable; a line \
                    break at its end is left out. Other names raise an error.
                    """, secret),
        ]
    }

    private enum Format: String {
        case yaml, json, csv, lines, text

        /// By the file's ending.
        init(path: String) {
            let path = path.lowercased()
            switch true {
            case path.hasSuffix(".yaml"), path.hasSuffix(".yml"): self = .yaml
            case path.hasSuffix(".json"): self = .json
            case path.hasSuffix(".csv"): self = .csv
            default: self = .lines
            }
        }
    }

    private static let file: mg_leaf = { call in
        guard let engine = call.engine, let files = engine.files else {
            return call.fail("moon.file is for loading and on_init: data files are part of a configuration")
        }
        let name = call.bytes(0).string
        guard let format = call.isAbsent(1) ? Format(path: name) : Format(rawValue: call.bytes(1).string) else {
            return call.fail("moon.file: the formats are csv, json, lines, text and yaml")
        }
        let path = path(of: name, engine)
        do {
            let bytes = try call.withoutClock { try files.read(path, as: .policyData) }
            engine.dataVersion.pointee = bytes.withUnsafeBufferPointer { buffer in
                StableHash.hash(
                    buffer.baseAddress.map { Bytes($0, buffer.count) } ?? .empty, seed: engine.dataVersion.pointee)
            }
            // Up to the tape: what Lua makes of it is the script's.
            return try call.withoutClock { try give(call, engine, bytes, path, format) }
        } catch let fault as PolicyFileFault {
            return call.fail(telling: "moon.file: argument 1: \(fault.message(hiding: path))")
        } catch {
            return call.fail(telling: "\(error)")
        }
    }

    /// Relative paths start at the folder of the configuration.
    static func path(of name: String, _ engine: PolicyEngine) -> String {
        name.hasPrefix("/") ? name : "\(engine.unit.terms.folder)/\(name)"
    }

    private static func give(
        _ call: BindingCall, _ engine: PolicyEngine, _ bytes: [UInt8], _ path: String, _ format: Format
    ) throws -> mg_action {
        switch format {
        case .yaml: return call.give(LuaValue(try DataFile.yaml(bytes, path: path)))
        case .lines: return call.give(LuaValue(try DataFile.lines(bytes, path: path)))
        case .csv: return call.give(LuaValue(try DataFile.csv(bytes, path: path)))
        case .text: return call.give(copyOf: bytes)
        case .json:
            let document = try json(bytes, path)
            guard let root = document.root, root.copy(to: call.pointee.output) else {
                return call.fail(telling: "\(path): too large")
            }
            engine.kept = document
            return MG_RETURN
        }
    }

    private static func json(_ bytes: [UInt8], _ path: String) throws -> JSONDocument {
        do {
            return try bytes.withUnsafeBufferPointer { buffer in
                try JSONDocument(
                    buffer.baseAddress.map { Bytes($0, buffer.count) } ?? .empty,
                    limits: .init(bytes: 16 << 20, values: 1 << 21))
            }
        } catch let fault as JSONFault {
            let before = bytes.prefix(fault.offset ?? 0)
            let line = before.count { $0 == 0x0a } + 1
            let column = before.count - (before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0) + 1
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path, line: line, column: column), message: fault.message.description
                )
            ])
        }
    }

    private static let secret: mg_leaf = { call in
        let name = call.bytes(0).string
        guard let secret = call.engine?.secrets[name] else {
            let known = call.engine?.secrets.keys.sorted() ?? []
            return call.fail("\(.unknown("secret", name, among: known)): `secrets` in the configuration defines them")
        }
        return call.give(copyOf: secret)
    }
}
