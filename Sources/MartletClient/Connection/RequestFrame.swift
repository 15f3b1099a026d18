import KafkaProtocol
import NIOCore

/// Requests and replies as they are on the wire: a length of four bytes, a header, the message.
enum RequestFrame {
    /// Where the correlation id stands: after the length, the key and the version.
    static let correlationIdPosition = 8

    /// The whole frame with 0 as correlation id; the connection sets it when it sends.
    static func encode<Request: ProtocolRequest>(
        _ request: Request, version: Int16, clientId: String
    ) throws(ClientError) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Int32(0))
        var header = RequestHeader()
        header.requestApiKey = Request.apiKey.rawValue
        header.requestApiVersion = version
        header.clientId = clientId
        header.encode(to: &writer, version: version >= Request.firstFlexibleVersion ? 2 : 1)
        request.encode(to: &writer, version: version)
        if let field = writer.unsupportedField {
            throw ClientError(
                .unsupportedVersion, "the broker is too old: version \(version) of its requests has no \(field)")
        }
        guard let length = Int32(exactly: writer.bytes.count - 4) else {
            throw ClientError(.invalidArgument, "the request has more than 2 GiB")
        }
        writer.patch(length, at: 0)
        return writer.bytes
    }

    /// The message in a reply's frame, which starts with the correlation id.
    static func decode<Request: ProtocolRequest>(
        _ frame: ByteBuffer, replyTo request: Request.Type, version: Int16
    ) throws(ClientError) -> Request.Response {
        do {
            return try frame.withUnsafeReadableBytes { buffer in
                let bytes = RawSpan(_unsafeBytes: buffer)
                var cursor = ByteCursor(memoryLimit: 4 * max(buffer.count, 1 << 20))
                _ = try cursor.int32(bytes)
                // The reader of ApiVersions does not know yet what the broker speaks, so its header never changes.
                if version >= Request.firstFlexibleVersion && Request.apiKey != .apiVersions {
                    try cursor.skipTaggedFields(bytes)
                }
                return try Request.Response(from: bytes, at: &cursor, version: version)
            }
        } catch {
            throw ClientError(
                .malformedReply, "the reply to \(Request.apiKey) version \(version) is malformed: \(error)",
                nextStep: "check that a Kafka broker listens there")
        }
    }
}
