import CRE2

/// A regular expression for values of headers and for paths, in RE2 syntax: it matches in linear time, so that no value can
/// stall a worker. Immutable; workers match against it at the same time.
final class TextPattern {
    let handle: OpaquePointer

    struct Fault: Error {
        /// RE2's words, such as `missing ): (a`, with the place in the pattern behind the colon.
        var message: String

        /// The same without a part of the pattern, which may be a key that lets somebody in: `missing )`.
        var kind: String { message.firstRange(of: ": ").map { String(message[..<$0.lowerBound]) } ?? message }
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

    /// What is wrong with `substitution` in place of this pattern's matches, in RE2's words; `nil`: nothing.
    func fault(ofSubstitution substitution: String) -> String? {
        var message = [CChar](repeating: 0, count: 256)
        let isBad = substitution.withBytes { bytes in
            bytes.base.withMemoryRebound(to: CChar.self, capacity: max(1, bytes.count)) {
                mg_re2_is_bad_substitution(handle, $0, bytes.count, &message, message.count)
            }
        }
        guard isBad else { return nil }
        return String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Writes `text` with every match replaced to `target`; the length, or `nil` if there is no room.
    func replace(_ text: Bytes, by substitution: Bytes, into target: UnsafeMutableBufferPointer<UInt8>) -> Int? {
        guard let base = target.baseAddress else { return nil }
        let count = text.base.withMemoryRebound(to: CChar.self, capacity: max(1, text.count)) { source in
            substitution.base.withMemoryRebound(to: CChar.self, capacity: max(1, substitution.count)) { replacement in
                base.withMemoryRebound(to: CChar.self, capacity: max(1, target.count)) {
                    mg_re2_replace(handle, source, text.count, replacement, substitution.count, $0, target.count)
                }
            }
        }
        return count < 0 ? nil : count
    }
}
