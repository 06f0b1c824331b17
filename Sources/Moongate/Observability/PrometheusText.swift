/// Metrics in Prometheus' text format, version 0.0.4.
///
/// Families and series come out in the order they are added; that order is the caller's promise of stability.
struct PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    private(set) var bytes: [UInt8] = []
    private var name = ""

    /// Opens a family; the samples that follow belong to it.
    ///
    /// - Parameter help: one line of text; line breaks and backslashes are escaped.
    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        append("# HELP \(name) ")
        appendEscaped(help, quotes: false)
        append("\n# TYPE \(name) \(kind.rawValue)\n")
    }

    /// One sample of the open family. A histogram gives its suffix (`_bucket`, `_sum`, `_count`).
    mutating func sample(_ labels: [(String, String)], suffix: String = "", _ value: UInt64) {
        appendSeries(labels, suffix: suffix)
        append("\(value)\n")
    }

    /// As above, for values that are no whole numbers.
    mutating func sample(_ labels: [(String, String)], suffix: String = "", _ value: Double) {
        appendSeries(labels, suffix: suffix)
        append("\(PrometheusText.number(value))\n")
    }

    /// The only sample of a family without labels.
    mutating func sample(_ value: UInt64) { sample([], value) }
    mutating func sample(_ value: Double) { sample([], value) }

    /// A gauge that is kept as a wrapping sum.
    mutating func gauge(_ labels: [(String, String)], _ value: UInt64) {
        appendSeries(labels, suffix: "")
        append("\(Int64(bitPattern: value))\n")
    }

    /// Buckets, sum and count of one latency histogram whose cells begin at `first`, over all threads.
    mutating func histogram(_ labels: [(String, String)], _ block: CounterBlock, first: Int) {
        var count: UInt64 = 0
        for (index, bound) in LatencyHistogram.bounds.enumerated() {
            count += block.total(first + index)
            let le = PrometheusText.number(Double(bound) / 1e6)
            sample(labels + [("le", le)], suffix: "_bucket", count)
        }
        count += block.total(first + LatencyHistogram.bounds.count)
        sample(labels + [("le", "+Inf")], suffix: "_bucket", count)
        sample(labels, suffix: "_sum", Double(block.total(first + LatencyHistogram.sumColumn)) / 1e6)
        sample(labels, suffix: "_count", count)
    }

    /// Whole numbers without a fraction, others as Swift prints them, which reads back exactly.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private mutating func appendSeries(_ labels: [(String, String)], suffix: String) {
        append(name)
        append(suffix)
        for (index, label) in labels.enumerated() {
            append(index == 0 ? "{" : ",")
            append(label.0)
            append("=\"")
            appendEscaped(label.1, quotes: true)
            append("\"")
        }
        append(labels.isEmpty ? " " : "} ")
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func appendEscaped(_ text: String, quotes: Bool) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\"") where quotes: append("\\\"")
            default: bytes.append(byte)
            }
        }
    }
}
