import CMoongate
import MoongateLua

/// A class of objects that policies see: what registers it, and what documents it.
struct PolicyClass {
    /// Its number in the VM, 1 to 63; each is given once, in `PolicyClasses`.
    var number: UInt16
    /// As error messages and the reference call it.
    var name: StaticString
    var summary: StaticString
    var bindings: [LuaBinding]
    /// Methods that only our own functions call.
    var hidden: [LuaBinding] = []
    /// One step of `pairs(object)`; `nil`: it has no `pairs`.
    var iterate: mg_leaf?
    /// Frees what an object that scripts own holds; `nil`: the objects belong to a run.
    var release: (@convention(c) (UnsafeMutableRawPointer) -> Void)?
    /// The bytes of an object, which may stand where a large string is taken; `nil`: it has none.
    var bytes: mg_bytes?

    /// What the VM registers: the objects of a request, and those that Envoy's scripts know, can also write to the log.
    var registered: [LuaBinding] {
        let isEnvoys = EnvoySurface.methods[PolicyAPI.typeName(name.description)] != nil
        let logs = number != PolicyClasses.handle && (release == nil || isEnvoys)
        return (logs ? bindings + LogBinding.bindings : bindings) + hidden
    }
}

/// A table of functions that every policy file finds: registered and documented from here.
struct PolicyLibrary {
    var name: StaticString
    var summary: StaticString
    var bindings: [LuaBinding] = []
    var constants: [(name: StaticString, value: Int64)] = []
    /// Names of JSON's null.
    var nulls: [StaticString] = []
}
