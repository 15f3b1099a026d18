import NIOCore

/// Cuts the stream into frames, without their lengths.
struct ReplyFrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    let maximumBytes: Int

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self) else { return .needMoreData }
        guard length >= 4, Int(length) <= maximumBytes else {
            throw ClientError(
                .malformedReply, "a reply claims \(length) bytes",
                nextStep: "check that a Kafka broker without TLS listens there")
        }
        let end = 4 + Int(length)
        guard buffer.readableBytes >= end else {
            buffer.reserveCapacity(minimumWritableBytes: end - buffer.readableBytes)
            return .needMoreData
        }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let frame = buffer.readSlice(length: Int(length)) else { return .needMoreData }
        context.fireChannelRead(wrapInboundOut(frame))
        return .continue
    }
}
