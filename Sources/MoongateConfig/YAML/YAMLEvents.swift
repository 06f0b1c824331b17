// A module of the package Yams, whose own reader makes a tree of everything.
import CYaml

/// One step through a YAML text.
struct YAMLEvent {
    enum Kind {
        case documentStart
        case streamEnd
        case alias(String)
        /// - isPlain: without quotation marks, so that it may be a number or nothing.
        case scalar(text: String, isPlain: Bool)
        case listStart
        case listEnd
        case mappingStart
        case mappingEnd
        /// Says nothing about values.
        case other
    }

    let kind: Kind
    let anchor: String?
    let tag: String?
    let mark: YAMLMark
}

/// A place in the text, counted from 1.
struct YAMLMark {
    var line: Int
    var column: Int
}

/// The steps through one YAML text, by libyaml. The text has to outlive it and to be UTF-8.
final class YAMLEvents {
    private let parser: UnsafeMutablePointer<yaml_parser_t>

    /// `nil`: there is no memory.
    init?(_ text: UnsafeBufferPointer<UInt8>) {
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            return nil
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    /// The next step; not to be called behind the stream's end or a fault.
    func next() throws(YAMLSyntaxFault) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw fault }
        defer { yaml_event_delete(&event) }
        let mark = YAMLEvents.mark(event.start_mark)
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: return YAMLEvent(.documentStart, mark)
        case YAML_STREAM_END_EVENT: return YAMLEvent(.streamEnd, mark)
        case YAML_ALIAS_EVENT: return YAMLEvent(.alias(YAMLEvents.text(event.data.alias.anchor) ?? ""), mark)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return YAMLEvent(
                .scalar(text: text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), mark, scalar.anchor, scalar.tag)
        case YAML_SEQUENCE_START_EVENT:
            return YAMLEvent(.listStart, mark, event.data.sequence_start.anchor, event.data.sequence_start.tag)
        case YAML_SEQUENCE_END_EVENT: return YAMLEvent(.listEnd, mark)
        case YAML_MAPPING_START_EVENT:
            return YAMLEvent(.mappingStart, mark, event.data.mapping_start.anchor, event.data.mapping_start.tag)
        case YAML_MAPPING_END_EVENT: return YAMLEvent(.mappingEnd, mark)
        default: return YAMLEvent(.other, mark)
        }
    }

    private var fault: YAMLSyntaxFault {
        let problem = YAMLEvents.text(parser.pointee.problem) ?? ""
        switch parser.pointee.error {
        case YAML_SCANNER_ERROR, YAML_PARSER_ERROR, YAML_COMPOSER_ERROR:
            return YAMLSyntaxFault(
                problem: problem, context: YAMLEvents.text(parser.pointee.context),
                place: .mark(YAMLEvents.mark(parser.pointee.problem_mark)))
        case YAML_READER_ERROR:
            return YAMLSyntaxFault(problem: problem, context: nil, place: .offset(Int(parser.pointee.problem_offset)))
        default: return YAMLSyntaxFault(problem: "out of memory", context: nil, place: .unknown)
        }
    }

    private static func mark(_ mark: yaml_mark_t) -> YAMLMark { YAMLMark(line: mark.line + 1, column: mark.column + 1) }

    fileprivate static func text(_ text: UnsafePointer<CChar>?) -> String? { text.map { String(cString: $0) } }

    fileprivate static func text(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        text.map { String(cString: $0) }
    }
}

extension YAMLEvent {
    fileprivate init(
        _ kind: Kind, _ mark: YAMLMark, _ anchor: UnsafeMutablePointer<yaml_char_t>? = nil,
        _ tag: UnsafeMutablePointer<yaml_char_t>? = nil
    ) {
        self.kind = kind
        self.mark = mark
        self.anchor = YAMLEvents.text(anchor)
        self.tag = YAMLEvents.text(tag)
    }
}
