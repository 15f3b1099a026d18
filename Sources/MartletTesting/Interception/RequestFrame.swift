import KafkaProtocol
import NIOCore

/// A whole request as it came, with what stands at its beginning.
struct RequestFrame {
    let apiKey: Int16
    let version: Int16
    let correlationId: Int32
    let clientId: String?
    /// Without the length.
    private let bytes: [UInt8]
    private let bodyStart: Int

    /// nil when the bytes are none, or of an API or a version that nobody knows: for the broker to refuse.
    init?(_ frame: ByteBuffer) {
        let bytes = Array(frame.readableBytesView.dropFirst(4))
        var cursor = ByteCursor()
        do throws(ProtocolDecodingError) {
            let span = bytes.span.bytes
            apiKey = try cursor.int16(span)
            version = try cursor.int16(span)
            correlationId = try cursor.int32(span)
            guard let api = ApiKey(rawValue: apiKey) else { return nil }
            clientId = try cursor.nullableString(span, flexible: false)
            if version >= api.firstFlexibleVersion { try cursor.skipTaggedFields(span) }
        } catch {
            return nil
        }
        self.bytes = bytes
        bodyStart = cursor.position
    }

    /// Whether the broker answers: a produce request with `acks=0` has no reply.
    var hasReply: Bool {
        guard apiKey == ApiKey.produce.rawValue else { return true }
        var cursor = ByteCursor(position: bodyStart)
        do throws(ProtocolDecodingError) {
            let span = bytes.span.bytes
            _ = try cursor.range(span, flexible: version >= ProduceRequest.firstFlexibleVersion, isString: true)
            return try cursor.int16(span) != 0
        } catch {
            return true
        }
    }

    func decoded<Request: ProtocolRequest>(as type: Request.Type) throws(ProtocolDecodingError) -> Request {
        guard Request.validVersions.contains(version) else { throw .unsupportedVersion }
        var cursor = ByteCursor(position: bodyStart)
        return try Request(from: bytes.span.bytes, at: &cursor, version: version)
    }

    /// A reply to this request, with its length.
    func reply(_ response: some ProtocolResponse, _ apiKey: ApiKey) -> ByteBuffer {
        var writer = ByteWriter()
        writer.write(Int32(0))
        writer.write(correlationId)
        // The reader of ApiVersions does not know yet what the broker speaks.
        if version >= apiKey.firstFlexibleVersion && apiKey != .apiVersions { writer.noTaggedFields() }
        response.encode(to: &writer, version: version)
        writer.patch(Int32(writer.bytes.count - 4), at: 0)
        return ByteBuffer(bytes: writer.bytes)
    }
}
