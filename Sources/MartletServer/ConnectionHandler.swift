import Broker
import CommitLog
import Logging
import NIOCore

/// The transport of one connection: cuts the stream into frames for the dispatcher and writes the replies.
///
/// It is the only handler in the channel, so that bytes take no detour. Frames are handled where they lie in the buffer
/// that was received; the buffers are kept until the loop's tick ends, when batches have been written from them.
final class ConnectionHandler: ChannelInboundHandler, ReplySink {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = IOData

    /// From this size on the kernel sends a stretch of a file itself; below, reading it is cheaper.
    private static let sendfileThreshold = 32 << 10
    /// What is reserved at first for a frame that its client announced; the rest grows as it comes.
    private static let firstReservation = 1 << 20
    /// From this size on an incomplete frame is counted.
    private static let countedFrom = 128 << 10
    /// API key, version and correlation id.
    private static let smallestFrame = 8

    private let loop: BrokerLoop
    private let listener: String
    private let id: UInt64
    private let onClose: @Sendable () -> Void
    private var connection: Connection!
    private var context: ChannelHandlerContext?
    /// The beginning of a frame whose end has not come.
    private var partial: ByteBuffer?
    /// What of `partial` is counted in `incomplete`.
    private var countedBytes = 0
    private let incomplete: IncompleteRequests
    /// Buffers whose bytes are used until the tick ends.
    private var held: [ByteBuffer] = []
    private var output = ByteBuffer()
    /// Nothing is read while the client owes us the reading of its replies.
    private var isPaused = false
    private var isClosing = false
    private var isSending = false
    /// As the channel tells it; asking the channel for each frame would cost more than the frame's header.
    private var isWritable = true
    private let limits: BrokerLimits
    private var lastActivity: NIODeadline

    init(
        loop: BrokerLoop, listener: String, id: UInt64, incomplete: IncompleteRequests,
        onClose: @escaping @Sendable () -> Void
    ) {
        self.loop = loop
        self.listener = listener
        self.id = id
        self.incomplete = incomplete
        self.onClose = onClose
        limits = loop.broker.limits
        lastActivity = .now()
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        connection = Connection(
            id: id, loop: loop, clientHost: "/" + (context.remoteAddress?.ipAddress ?? "unknown"),
            listener: listener, sink: self)
        loop.add(connection)
        loop.metrics.connectionOpened()
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard self.context != nil else { return }
        self.context = nil
        isClosing = true
        connection.didClose()
        loop.metrics.connectionClosed()
        partial = nil
        count(0)
        onClose()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        // The two hold each other while the channel lives.
        connection = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The peer reset the connection or is gone; there is nobody to tell.
        loop.broker.logger.debug("connection.error", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    /// Stops taking requests; replies that are owed still go out.
    func stopReading() {
        isPaused = true
        isClosing = true
        setAutoRead(false)
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastActivity = .now()
        var buffer = unwrapInboundIn(data)
        if var waiting = partial.take() {
            waiting.writeBuffer(&buffer)
            buffer = waiting
        }
        parse(buffer)
        countPartial()
    }

    /// Small rests come and go with every read; only what grows is worth counting.
    private func countPartial() {
        let waiting = partial?.readableBytes ?? 0
        if waiting > ConnectionHandler.countedFrom || countedBytes > 0 { count(waiting) }
    }

    private func count(_ bytes: Int) {
        if incomplete.change(from: countedBytes, to: bytes) {
            countedBytes = bytes
        } else {
            countedBytes = 0
            partial = nil
            loop.metrics.frameRefused()
            connection.close(
                because:
                    "queued.max.request.bytes is \(limits.incompleteRequestBytes), and requests that have not come "
                    + "whole take that much")
        }
    }

    private func parse(_ received: ByteBuffer) {
        var buffer = received
        var isHeld = false
        while !isPaused, buffer.readableBytes >= 4 {
            let length = Int(buffer.getInteger(at: buffer.readerIndex, as: Int32.self)!)
            guard length >= ConnectionHandler.smallestFrame, length <= limits.requestBytes else {
                loop.metrics.frameRefused()
                connection.close(
                    because: "a frame of \(length) bytes; socket.request.max.bytes is \(limits.requestBytes)")
                return
            }
            guard buffer.readableBytes >= 4 + length else { break }
            guard connection.acceptsRequests else {
                pause()
                break
            }
            if !isHeld {
                isHeld = true
                held.append(buffer)
            }
            let start = buffer.readerIndex + 4
            let outcome = buffer.withVeryUnsafeBytes { memory in
                RequestDispatcher.handle(
                    UnsafeRawBufferPointer(rebasing: memory[start..<start + length]), from: connection)
            }
            if isClosing { return }
            if outcome == .again {
                pause()
                break
            }
            buffer.moveReaderIndex(forwardBy: 4 + length)
        }
        keepRest(of: buffer, isShared: isHeld)
    }

    /// Keeps what is left over for the next read, in memory of its own when the buffer is in use elsewhere.
    private func keepRest(of buffer: ByteBuffer, isShared: Bool) {
        guard buffer.readableBytes > 0 else { return }
        if isPaused || !isShared && buffer.readerIndex == 0 && buffer.capacity > buffer.readableBytes {
            partial = buffer
            return
        }
        var wanted = buffer.readableBytes
        if let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self) {
            wanted = max(wanted, min(4 + Int(length), ConnectionHandler.firstReservation))
        }
        var rest = context?.channel.allocator.buffer(capacity: wanted) ?? ByteBuffer()
        rest.writeImmutableBuffer(buffer)
        partial = rest
    }

    // MARK: Pausing

    private func pause() {
        guard !isPaused else { return }
        isPaused = true
        setAutoRead(false)
    }

    private func resumeIfPossible() {
        // While replies are being sent they are still the connection's; the tick's end resumes.
        guard isPaused, !isClosing, !isSending, connection.acceptsRequests else { return }
        isPaused = false
        if let waiting = partial.take() {
            parse(waiting)
            if isClosing { return }
            countPartial()
        }
        if !isPaused { setAutoRead(true) }
    }

    private func setAutoRead(_ isOn: Bool) {
        do {
            try context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
        } catch {
            loop.broker.logger.debug("connection.auto-read", metadata: ["error": "\(error)"])
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        resumeIfPossible()
    }

    // MARK: Writing

    var unsentBytes: Int {
        // The high water mark is `queued.max.response.bytes`.
        isWritable ? 0 : limits.queuedResponseBytes
    }

    func send(_ replies: ReplyBuffer) {
        guard let context else { return }
        isSending = true
        defer { isSending = false }
        lastActivity = .now()
        output.clear()
        var position = 0
        for stretch in replies.stretches {
            output.writeBytes(replies.writer.bytes[position..<stretch.position])
            position = stretch.position
            guard write(stretch.slice, context) else {
                close()
                return
            }
        }
        if position == 0 {
            output.writeBytes(replies.writer.bytes)
        } else {
            output.writeBytes(replies.writer.bytes[position...])
        }
        if output.readableBytes > 0 { context.write(wrapOutboundOut(.byteBuffer(output)), promise: nil) }
        context.flush()
    }

    func isIdle(forMilliseconds duration: Int64) -> Bool {
        NIODeadline.now() - lastActivity > .milliseconds(duration)
    }

    func tickEnded() {
        held.removeAll(keepingCapacity: true)
        if isPaused { resumeIfPossible() }
    }

    /// Sends a stretch of a log: by the kernel when it is long, through memory when it is short.
    private func write(_ slice: LogSlice, _ context: ChannelHandlerContext) -> Bool {
        if slice.length >= ConnectionHandler.sendfileThreshold, let descriptor = slice.file.descriptor {
            if output.readableBytes > 0 { context.write(wrapOutboundOut(.byteBuffer(output)), promise: nil) }
            output.clear()
            let file = SentFile(slice.file, descriptor: descriptor)
            let region = FileRegion(
                fileHandle: file.handle, readerIndex: Int(slice.position),
                endIndex: Int(slice.position) + slice.length)
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.whenComplete { _ in file.release() }
            context.write(wrapOutboundOut(.fileRegion(region)), promise: promise)
            return true
        }
        var isWhole = false
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: slice.length) { memory in
            do {
                let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<slice.length])
                isWhole = try slice.file.file.read(into: target, at: slice.position) == slice.length
            } catch {
                loop.broker.logger.error("fetch.read-failed", metadata: ["error": "\(error)"])
            }
            return isWhole ? slice.length : 0
        }
        return isWhole
    }

    func close() {
        isClosing = true
        partial = nil
        context?.close(promise: nil)
    }
}

/// A segment's file while the kernel sends from it: NIO wants a handle, and the segment must stay open.
private final class SentFile: @unchecked Sendable {
    // Sendable: used on one event loop.
    let handle: NIOFileHandle
    private var file: SegmentFile?

    init(_ file: SegmentFile, descriptor: Int32) {
        self.file = file
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    }

    func release() {
        // The descriptor is the segment's; the handle must not close it.
        do {
            _ = try handle.takeDescriptorOwnership()
        } catch {
            preconditionFailure("the handle was open: \(error)")
        }
        file = nil
    }
}
