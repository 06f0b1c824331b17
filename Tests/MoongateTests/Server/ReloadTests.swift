import Logging
import Testing

@testable import Moongate
@testable import MoongateConfig

/// A reload puts every key of the configuration in force. The keys are those of the schema, without those of upstreams,
/// which `UpstreamReloadTests` has.
@Suite struct ReloadTests {
    @Test func everyKeyOfTheSchemaHasAProbeOrIsListed() {
        let keys = Set(Self.keys(of: ValueType<Configuration>.configuration.shape, prefix: ""))
        let known = Set(ReloadProbes.listeners.keys).union(ReloadProbes.routes.keys)
        let listed = known.union(ReloadProbes.exempt.keys).union(ReloadProbes.unproven)
        #expect(keys.count > 200)
        #expect(keys.subtracting(listed).sorted().isEmpty, "keys without a probe")
        #expect(listed.subtracting(keys).sorted().isEmpty, "probes without a key")
        #expect(known.intersection(ReloadProbes.unproven).sorted().isEmpty, "keys that have a probe by now")
        #expect(ReloadProbes.unproven.count <= ReloadProbes.mostUnproven, "the list may only shrink")
    }

    @Test(arguments: ReloadProbes.listeners.keys.sorted()) func aListenersKeyIsInForceAfterAReload(_ key: String) throws
    {
        let change = try #require(ReloadProbes.listeners[key])
        try Self.check(Self.text(listener: change.before), Self.text(listener: change.after))
    }

    @Test(arguments: ReloadProbes.routes.keys.sorted()) func aRoutesKeyIsInForceAfterAReload(_ key: String) throws {
        let change = try #require(ReloadProbes.routes[key])
        try Self.check(Self.text(route: change.before), Self.text(route: change.after))
    }

    private static func text(listener: String = "", route: String = "") -> String {
        """
        listeners: [{name: a, address: "127.0.0.1:1"\(listener.isEmpty ? "" : ", " + listener)}]
        upstreams: {a: {endpoints: ["127.0.0.1:1"]}, b: {endpoints: ["127.0.0.1:2"]}}
        routes: [{name: r, upstream: a\(route.isEmpty ? "" : ", " + route)}]

        """
    }

    /// Both ways: a key that is added or changed, and one that is taken back.
    private static func check(_ old: String, _ new: String) throws {
        let (asOld, asNew) = (try Files(old).load(), try Files(new).load())
        #expect(asOld != asNew, "the probe shows nothing")
        let files = try Files(old)
        #expect(try files.load() == asOld)
        #expect(try files.load(new) == asNew)
        #expect(try files.load(old) == asOld)
    }

    private static func keys(of shape: Shape, prefix: String) -> [String] {
        switch shape {
        case .alwaysTrue, .integer, .text, .choice, .anyMapping: []
        case .list(let element, _), .dictionary(let element, _), .singleton(let element, _):
            keys(of: element, prefix: prefix)
        case .either(let shapes): shapes.flatMap { keys(of: $0, prefix: prefix) }
        case .mapping(let mapping):
            mapping.fields.flatMap { field in
                let key = prefix + field.key
                return [key] + (key == "upstreams" ? [] : keys(of: field.shape, prefix: key + "."))
            }
        }
    }

    /// A configuration's file, and what its last load made for connections and requests.
    private final class Files {
        private let folder: TemporaryFolder
        private let loader: GenerationLoader
        private var last: Generation?

        init(_ text: String) throws {
            folder = try TemporaryFolder()
            try folder.write("moongate.yaml", text)
            let silent = Logger(label: "reload") { _ in SwiftLogNoOpLogHandler() }
            loader = GenerationLoader(
                path: try #require(AbsolutePath(folder.file("moongate.yaml"))), registry: MetricsRegistry(workers: 1),
                ticketKeys: TicketKeys(), logger: silent, verifier: nil)
        }

        func load(_ text: String? = nil) throws -> [String] {
            if let text { try folder.write("moongate.yaml", text) }
            let (number, previous) = ((last?.number ?? 0) + 1, last?.program)
            let next = try FileSnapshot.consistent { [loader] reader in
                try loader.load(reader, number: number, previous: previous)
            }.result.get()
            let generation = next.generation
            generation.program.takeEffect()
            last = generation
            let listeners = next.listeners.flatMap { Files.parts(of: $0, "listener") }
            let edge = try #require(generation.edgeHeaderRules(.of("a"))).pointee
            return listeners + Files.parts(of: edge, "edge")
                + Files.parts(of: generation.route(0).pointee, "route")
        }

        /// Every value within, but objects and what lies behind pointers, of which it is said whether there are any.
        private static func parts(of value: Any, _ label: String) -> [String] {
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle == .class || value is ListenerIdentity { return [] }
            let type = "\(type(of: value))"
            if type.contains("Pointer") || type.contains("Unmanaged") || type.contains("->") {
                return mirror.displayStyle == .optional ? ["\(label): \(mirror.children.isEmpty)"] : []
            }
            guard !mirror.children.isEmpty else { return ["\(label): \(value)"] }
            return mirror.children.enumerated().flatMap { index, child in
                parts(of: child.value, "\(label).\(child.label ?? "\(index)")")
            }
        }
    }
}
