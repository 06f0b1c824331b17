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
            StreamInfoBinding.definition,
            DynamicMetadataBinding.definition,
            MetadataBinding.definition,
            TLSBinding.definition,
            AddressSetBinding.definition,
            PasswordsBinding.definition,
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
    }

    /// The objects of one run. Its memory must not move.
    static func makeObjects(_ run: PolicyRun, _ vm: LuaVM) throws(LuaError) -> PolicyObjects {
        let scope = run.scopePointer
        scope.pointee.native = run.opaque
        let requestMap = withUnsafeMutablePointer(to: &run.pointer.pointee.requestMap) { UnsafeMutableRawPointer($0) }
        let responseMap = withUnsafeMutablePointer(to: &run.pointer.pointee.responseMap) { UnsafeMutableRawPointer($0) }
        var objects = PolicyObjects()
        objects.handle = try vm.makeObject(class: handle, scope: scope, native: run.opaque)
        objects.requestHeaders = try vm.makeObject(class: headers, scope: scope, native: requestMap)
        objects.responseHeaders = try vm.makeObject(class: headers, scope: scope, native: responseMap)
        objects.streamInfo = try vm.makeObject(class: streamInfo, scope: scope, native: run.opaque)
        objects.dynamicMetadata = try vm.makeObject(class: dynamicMetadata, scope: scope, native: run.opaque)
        objects.metadata = try vm.makeObject(class: metadata, scope: scope, native: run.opaque)
        objects.tls = try vm.makeObject(class: tls, scope: scope, native: run.opaque)
        objects.stats = try vm.makeObject(class: stats, scope: scope, native: run.opaque)
        return objects
    }
}
