import KafkaProtocol
import NIOCore

/// Requests and replies as a broker sees them.
enum WireFrame {
    /// What this very process has encoded.
    static func decoded<Message>(
        _ frame: ByteBuffer, from start: Int,
        _ decode: (RawSpan, inout ByteCursor) throws(ProtocolDecodingError) -> Message
    ) -> Message {
        frame.withUnsafeReadableBytes { bytes in
            var cursor = ByteCursor(memoryLimit: 1 << 20)
            do throws(ProtocolDecodingError) {
                return try decode(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start...])), &cursor)
            } catch {
                preconditionFailure("\(error)")
            }
        }
    }

    /// The message after the header, in a frame with its length.
    static func request<Request: ProtocolRequest>(in frame: ByteBuffer, _ version: Int16) -> Request {
        let flexible = version >= Request.firstFlexibleVersion
        let nameLength = Int(max(0, frame.getInteger(at: 12, as: Int16.self)!))
        let start = 14 + nameLength + (flexible ? 1 : 0)
        return decoded(frame, from: start) { span, cursor throws(ProtocolDecodingError) in
            try Request(from: span, at: &cursor, version: version)
        }
    }

    static func reply(_ correlation: Int32, _ body: ByteWriter, flexible: Bool = false) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(Int32(4 + body.bytes.count + (flexible ? 1 : 0)))
        buffer.writeInteger(correlation)
        if flexible { buffer.writeInteger(UInt8(0)) }
        buffer.writeBytes(body.bytes)
        return buffer
    }
}

/// Frames with their length.
struct WireFrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self),
            let frame = buffer.readSlice(length: 4 + Int(length))
        else { return .needMoreData }
        context.fireChannelRead(wrapInboundOut(frame))
        return .continue
    }
}

extension ApiVersionsResponse {
    /// Requests that are taken, from version 0 up to these.
    mutating func offer(_ latest: [ApiKey: Int16]) {
        for (key, version) in latest {
            var entry = ApiVersion()
            entry.apiKey = key.rawValue
            entry.maxVersion = version
            apiKeys.append(entry)
        }
    }
}
