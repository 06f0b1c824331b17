/// What one worker counts for one route.
///
/// A trivial view; the `GenerationMetrics` that handed it out keeps its memory.
struct RouteCells {
    enum Column {
        /// One per gRPC status, 0 to 16, and one for every other number.
        static let grpcStatus = 0
        static let otherGRPCStatus = 17
        /// Requests that are not gRPC: no answer at all, then 1xx to 5xx.
        static let httpClass = 18
        static let bytesIn = 24
        static let bytesOut = 25
        static let retries = 26
        static let duration = 27
        static let count = duration + LatencyHistogram.columns
    }

    let row: CounterRow

    /// - Parameter status: as the client saw it; numbers that gRPC does not know are counted together.
    @inline(__always) func countGRPC(status: Int) {
        row[UInt(bitPattern: status) <= 16 ? status : Column.otherGRPCStatus].add()
    }

    /// - Parameter status: the HTTP status; 0 when there was none before the stream ended.
    @inline(__always) func countHTTP(status: Int) {
        row[Column.httpClass + (status >= 100 && status < 600 ? status / 100 : 0)].add()
    }

    /// Body bytes received from and sent to the client.
    @inline(__always) func countBytes(received: UInt64, sent: UInt64) {
        row[Column.bytesIn].add(received)
        row[Column.bytesOut].add(sent)
    }

    /// Attempts that followed one that had failed.
    var retries: Counter { row[Column.retries] }

    @inline(__always) var duration: LatencyHistogram { LatencyHistogram(row.advanced(by: Column.duration)) }
}
