import CMoongate
import MoongateLua

/// The classes of the objects that policies see, and their number in the VM.
enum PolicyClasses {
    static let handle: UInt16 = 1
    static let headers: UInt16 = 2
    static let streamInfo: UInt16 = 3
    static let dynamicMetadata: UInt16 = 4
    static let metadata: UInt16 = 5
    static let tls: UInt16 = 6
    static let addressSet: UInt16 = 7
    static let passwords: UInt16 = 8
    static let buffer: UInt16 = 10
    static let grpcMessage: UInt16 = 11
    static let route: UInt16 = 20
    static let virtualHost: UInt16 = 21
    static let filterState: UInt16 = 22
    static let connection: UInt16 = 23
    static let connectionStreamInfo: UInt16 = 24
    static let connectionMetadata: UInt16 = 25
    static let publicKey: UInt16 = 26
    static let parsedSubject: UInt16 = 27
    static let jwtVerifier: UInt16 = 30
    static let methodSet: UInt16 = 31
    static let users: UInt16 = 32
    static let keys: UInt16 = 33
    static let lines: UInt16 = 34
    static let dict: UInt16 = 36
    static let limit: UInt16 = 37
    static let counter: UInt16 = 38
    static let gauge: UInt16 = 39
    static let histogram: UInt16 = 40
    static let stats: UInt16 = 41

    /// Everything a policy can call, in the order of the reference.
    static var all: [PolicyClass] {
        [
            HandleBinding.definition,
            HeadersBinding.definition,
            BufferBinding.definition,
            GRPCMessageBinding.definition,
            StreamInfoBinding.definition,
            DynamicMetadataBinding.definition,
            FilterStateBinding.definition,
            MetadataBinding.definition,
            RouteBinding.definition,
            VirtualHostBinding.definition,
            ConnectionBinding.definition,
            ConnectionStreamInfoBinding.definition,
            ConnectionMetadataBinding.definition,
            TLSBinding.definition,
            ParsedSubjectBinding.definition,
            PublicKeyBinding.definition,
            AddressSetBinding.definition,
            PasswordsBinding.definition,
            MethodSetBinding.definition,
            UserListBinding.definition,
            KeyListBinding.definition,
            LineListBinding.definition,
            JWTBinding.definition,
            DictBinding.definition,
            LimitBinding.definition,
            StatsBinding.definition,
        ] + MetricsBinding.definitions
    }

    static var libraries: [PolicyLibrary] { [MoonLibrary.definition, TimeBinding.resolutions] }

    static func define(in vm: LuaVM) throws(LuaError) {
        for item in all {
            try vm.define(
                class: item.number, name: item.name, bindings: item.registered, iterate: item.iterate,
                release: item.release)
            if let bytes = item.bytes { vm.define(bytes: bytes, ofClass: item.number) }
        }
        for library in libraries {
            if !library.bindings.isEmpty { try vm.define(library: library.name, bindings: library.bindings) }
            for constant in library.constants {
                try vm.define(constant: constant.name, constant.value, in: library.name)
            }
            for null in library.nulls { try vm.define(null: null, in: library.name) }
        }
        vm.setPrint(MoonLibrary.print)
        vm.setModuleSource(MoonLibrary.moduleSource)
        vm.setContextLeaves(read: ContextBinding.read, write: ContextBinding.write, list: ContextBinding.list)
    }
}
