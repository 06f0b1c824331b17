import MoongateConfig

/// The mirrors of one route.
final class RouteMirrors {
    struct Mirror {
        /// Index in the generation.
        let upstream: Int
        /// How many of a million requests are copied.
        let millionths: UInt64
        /// Bytes of one request that may wait.
        let buffer: Int
        let metrics: MetricsRegistry.Entry
    }

    let mirrors: [Mirror]

    /// - Parameter places: the generation's upstreams by name.
    init(_ route: RouteConfig, places: [String: Int32], registry: MetricsRegistry) {
        mirrors = route.mirrors.compactMap { mirror in
            places[mirror.upstream].map { place in
                Mirror(
                    upstream: Int(place), millionths: UInt64(clamping: mirror.millionths), buffer: mirror.buffer,
                    metrics: registry.mirror(route: route.name, upstream: mirror.upstream))
            }
        }
    }
}
