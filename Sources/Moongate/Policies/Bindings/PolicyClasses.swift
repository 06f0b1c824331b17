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

    /// Everything a policy can call, in one place.
    static func define(in vm: LuaVM) throws(LuaError) {
        try vm.define(class: handle, name: "handle", bindings: HandleBinding.bindings)
        try vm.define(
            class: headers, name: "header map", bindings: HeadersBinding.bindings, iterate: HeadersBinding.step)
        try vm.define(class: streamInfo, name: "stream info", bindings: StreamInfoBinding.bindings)
        try vm.define(
            class: dynamicMetadata, name: "dynamic metadata", bindings: DynamicMetadataBinding.bindings,
            iterate: DynamicMetadataBinding.step)
        try vm.define(
            class: metadata, name: "metadata", bindings: MetadataBinding.bindings, iterate: MetadataBinding.step)
        try vm.define(class: tls, name: "TLS connection", bindings: TLSBinding.bindings)
        try vm.define(
            class: addressSet, name: "address set", bindings: AddressSetBinding.bindings,
            release: AddressSetBinding.release)
        try vm.define(
            class: passwords, name: "passwords", bindings: PasswordsBinding.bindings,
            release: PasswordsBinding.release)
        try vm.define(library: "moon", bindings: MoonLibrary.bindings)
        try vm.define(constant: "MILLISECOND", 1, in: "EnvoyTimestampResolution")
        try vm.define(constant: "MICROSECOND", 2, in: "EnvoyTimestampResolution")
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
        return objects
    }
}
