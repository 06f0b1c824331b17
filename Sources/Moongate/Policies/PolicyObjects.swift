import CMoongate
import MoongateLua

/// An object that scripts get to see of a run.
enum PolicyObject: Int, CaseIterable {
    case handle, requestHeaders, responseHeaders, requestTrailers, responseTrailers
    case streamInfo, dynamicMetadata, filterState, filterContext
    case route, routeMetadata, virtualHost, listenerMetadata
    case connection, connectionStreamInfo, connectionMetadata
    case tls, stats, peerSubject

    /// The number of its class.
    var kind: UInt16 {
        switch self {
        case .handle: PolicyClasses.handle
        case .requestHeaders, .responseHeaders, .requestTrailers, .responseTrailers: PolicyClasses.headers
        case .streamInfo: PolicyClasses.streamInfo
        case .dynamicMetadata: PolicyClasses.dynamicMetadata
        case .filterState: PolicyClasses.filterState
        case .filterContext, .routeMetadata, .listenerMetadata: PolicyClasses.metadata
        case .route: PolicyClasses.route
        case .virtualHost: PolicyClasses.virtualHost
        case .connection: PolicyClasses.connection
        case .connectionStreamInfo: PolicyClasses.connectionStreamInfo
        case .connectionMetadata: PolicyClasses.connectionMetadata
        case .tls: PolicyClasses.tls
        case .stats: PolicyClasses.stats
        case .peerSubject: PolicyClasses.parsedSubject
        }
    }

    /// The part of the visit that stands behind it; `nil`: the run as a whole.
    fileprivate var part: PartialKeyPath<PolicyVisitRecord>? {
        switch self {
        case .requestHeaders: \.requestMap
        case .responseHeaders: \.responseMap
        case .requestTrailers: \.requestTrailerMap
        case .responseTrailers: \.responseTrailerMap
        case .routeMetadata: \.routeMetadata
        case .listenerMetadata: \.listenerMetadata
        case .filterContext: \.filterContext
        default: nil
        }
    }
}

/// The objects of one visit: each is made when it is first asked for, and armed anew for every run.
struct PolicyObjects {
    private var made = InlineArray<19, LuaObject?>(repeating: nil)

    /// `nil`: nobody has asked for it yet.
    @inline(__always) subscript(object: PolicyObject) -> LuaObject? {
        get { made[object.rawValue] }
        set { made[object.rawValue] = newValue }
    }
}

extension UnsafeMutablePointer where Pointee == PolicyVisitRecord {
    /// `nil`: the VM's memory is spent.
    @inline(__always) func lend(_ object: PolicyObject) -> LuaObject? {
        pointee.objects[object] ?? make(object)
    }

    @inline(never) private func make(_ object: PolicyObject) -> LuaObject? {
        let part = object.part.flatMap { MemoryLayout<PolicyVisitRecord>.offset(of: $0) }
        let native = part.map { UnsafeMutableRawPointer(self) + $0 }
        let made = pointee.engine?._withUnsafeGuaranteedRef {
            try? $0.vm.makeObject(class: object.kind, scope: scope, native: native)
        }
        pointee.objects[object] = made
        return made
    }
}
