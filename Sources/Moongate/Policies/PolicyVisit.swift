import CMoongate
import MoongateLua

/// A run within one script engine: the objects that the engine's scripts get to see of the run. Pooled by the engine; a run has one for
/// each engine that its hooks have entered.
struct PolicyVisitRecord {
    /// The objects are bound to it; its `native` is the run that they are lent to.
    var scope = mg_scope()
    var objects = PolicyObjects()
    var requestMap = PolicyHeaderMap(isRequest: true)
    var responseMap = PolicyHeaderMap(isRequest: false)
    var requestTrailerMap = PolicyHeaderMap(isRequest: true, isTrailers: true)
    var responseTrailerMap = PolicyHeaderMap(isRequest: false, isTrailers: true)
    var routeMetadata = PolicyMetadataMap(source: .route)
    var listenerMetadata = PolicyMetadataMap(source: .listener)
    var filterContext = PolicyMetadataMap(source: .context)
    /// `nil`: it stands for no engine, see `PolicyHost.nowhere`.
    var engine: Unmanaged<PolicyEngine>?
    /// The run's next one, or the next free one.
    var next: UnsafeMutablePointer<PolicyVisitRecord>?
}

typealias PolicyVisit = UnsafeMutablePointer<PolicyVisitRecord>

extension UnsafeMutablePointer where Pointee == PolicyVisitRecord {
    // The record's memory does not move, so addresses of its fields stay good.
    @inline(__always) var scope: UnsafeMutablePointer<mg_scope> {
        withUnsafeMutablePointer(to: &pointee.scope) { $0 }
    }

    /// The run that it is lent to.
    @inline(__always) var run: PolicyRun? { PolicyRun(opaque: pointee.scope.native) }
}

/// The visits of one engine: a queue, so that one rests for as long as others are taken. A handle that a script kept stays dead for a
/// while, and any later use of it touches the exchange that runs, never another.
struct PolicyVisitPool {
    private let vm: LuaVM
    private var first: PolicyVisit?
    private var last: PolicyVisit?
    private var count = 0
    /// All visits.
    private var blocks: [PolicyVisit] = []  // Its own memory, which nobody else frees.

    private static let resting = 16

    init(_ vm: LuaVM) { self.vm = vm }

    func free() {
        for visit in blocks {
            visit.deinitialize(count: 1)
            visit.deallocate()
        }
    }

    /// A visit for a run.
    @inline(__always) mutating func take(_ engine: PolicyEngine, _ run: PolicyRun) -> PolicyVisit? {
        if count <= PolicyVisitPool.resting { grow(engine) }
        guard let visit = first else { return nil }
        first = visit.pointee.next
        if first == nil { last = nil }
        count -= 1
        visit.pointee.scope.native = run.opaque
        visit.pointee.scope.generation &+= 1
        return visit
    }

    /// Takes a visit back: every object that was lent for it is dead.
    @inline(__always) mutating func give(_ visit: PolicyVisit) {
        vm.end(visit.scope)
        visit.pointee.scope.native = nil
        visit.pointee.next = nil
        if let last { last.pointee.next = visit } else { first = visit }
        last = visit
        count += 1
    }

    @inline(never) private mutating func grow(_ engine: PolicyEngine) {
        while count <= PolicyVisitPool.resting {
            let visit = PolicyVisit.allocate(capacity: 1)
            blocks.append(visit)
            visit.initialize(to: PolicyVisitRecord())
            visit.pointee.engine = .passUnretained(engine)
            visit.pointee.requestMap.visit = visit
            visit.pointee.responseMap.visit = visit
            visit.pointee.requestTrailerMap.visit = visit
            visit.pointee.responseTrailerMap.visit = visit
            visit.pointee.routeMetadata.visit = visit
            visit.pointee.listenerMetadata.visit = visit
            visit.pointee.filterContext.visit = visit
            give(visit)
        }
    }
}
