/// Makes the end of a response, trailers or a head that is the whole of it, small enough for its client.
enum StatusTrimmer {
    /// Leaves out the details of the status, if that is not enough all other fields that are not the status itself, and if
    /// that is not enough either the end of the message. The status stays, whatever the limit is.
    ///
    /// - Parameter limit: octets as RFC 9113 §6.5.2 counts them.
    static func trim(_ fields: HeaderList, to limit: Int) {
        fields.remove(name: Bytes("grpc-status-details-bin"))
        guard fields.encodedSize > limit else { return }
        fields.keep(isEssential)
        let excess = fields.encodedSize - limit
        guard excess > 0, let message = fields.value(.grpcMessage) else { return }
        let text = GRPCMessageText.cutEncoded(message, to: max(0, message.count - excess))
        if text.isEmpty {
            fields.remove(name: Bytes("grpc-message"))
        } else {
            fields.set(name: Bytes("grpc-message"), value: text)
        }
    }

    private static func isEssential(_ field: HeaderField) -> Bool {
        switch field.id {
        case .status, .contentType, .contentLength, .grpcStatus, .grpcMessage: true
        default: false
        }
    }
}
