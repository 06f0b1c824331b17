import CRE2

/// A regular expression for header values, in RE2 syntax: it matches in linear time, so that no value can
/// stall a worker. Immutable; workers match against it at the same time.
final class HeaderPattern {
    let handle: OpaquePointer

    struct Fault: Error {
        /// RE2's words, such as `missing ): (a`.
        var message: String
    }

    init(_ pattern: String) throws(Fault) {
        var message = [CChar](repeating: 0, count: 256)
        let compiled = pattern.withBytes { bytes in
            bytes.base.withMemoryRebound(to: CChar.self, capacity: max(1, bytes.count)) {
                mg_re2_compile($0, bytes.count, &message, message.count)
            }
        }
        guard let compiled else {
            let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw Fault(message: String(decoding: text, as: UTF8.self))
        }
        handle = compiled
    }

    deinit { mg_re2_free(handle) }

    /// Whether all of `text` matches. The handle's owner must be alive.
    @inline(__always)
    static func matches(_ handle: OpaquePointer, _ text: Bytes) -> Bool {
        text.base.withMemoryRebound(to: CChar.self, capacity: max(1, text.count)) {
            mg_re2_matches(handle, $0, text.count)
        }
    }
}
