import Broker
import NIOCore
import NIOPosix

/// Connections to other nodes, on the loops that serve the clients.
final class PeerConnections: PeerNetwork {
    private let group: MultiThreadedEventLoopGroup

    init(_ group: MultiThreadedEventLoopGroup) {
        self.group = group
    }

    func channel(to endpoint: BrokerEndpoint) -> any PeerChannel {
        PeerConnection(endpoint, group.next())
    }
}

/// A connection to one node. Requests are answered in order.
///
/// `@unchecked Sendable` because everything but the two constants is touched on the event loop only.
private final class PeerConnection: PeerChannel, @unchecked Sendable {
    private static let connectTimeout = TimeAmount.seconds(3)

    private struct Request {
        var bytes: [UInt8]
        var deadline: NIODeadline
        var completion: @Sendable (PeerOutcome) -> Void
    }

    private enum State {
        case idle
        case connecting
        case connected(any Channel)
        case closed
    }

    private let endpoint: BrokerEndpoint
    private let eventLoop: any EventLoop
    private var state = State.idle
    /// Wait for the connection.
    private var unsent: [Request] = []
    /// Wait for their replies.
    private var unanswered: [Request] = []
    private var firstUnanswered = 0
    private var nextCorrelationId: Int32 = 0
    private var nextReply: Int32 = 0
    private var isTimerSet = false

    init(_ endpoint: BrokerEndpoint, _ eventLoop: any EventLoop) {
        self.endpoint = endpoint
        self.eventLoop = eventLoop
    }

    func send(
        _ request: [UInt8], timeoutMilliseconds: Int64, _ completion: @escaping @Sendable (PeerOutcome) -> Void
    ) {
        let deadline = NIODeadline.now() + .milliseconds(timeoutMilliseconds)
        let request = Request(bytes: request, deadline: deadline, completion: completion)
        if eventLoop.inEventLoop {
            begin(request)
        } else {
            eventLoop.execute { [self] in begin(request) }
        }
    }

    func close() {
        eventLoop.execute { [self] in
            if case .connected(let channel) = state { channel.close(promise: nil) }
            state = .closed
            fail("the channel was closed")
        }
    }

    // MARK: On the loop

    private func begin(_ request: Request) {
        setTimer()
        switch state {
        case .connected(let channel): write(request, to: channel)
        case .closed: request.completion(.failed(.notSent("the channel was closed")))
        case .connecting: unsent.append(request)
        case .idle:
            unsent.append(request)
            connect()
        }
    }

    private func connect() {
        state = .connecting
        ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 8192, maximum: 65536)
            )
            .connectTimeout(Self.connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PeerReplyHandler(self))
                }
            }
            .connect(host: endpoint.host, port: Int(endpoint.port))
            .whenComplete { [self] result in
                switch result {
                case .success(let channel): connected(channel)
                case .failure(let error):
                    if case .connecting = state { state = .idle }
                    fail("\(endpoint.host):\(endpoint.port) cannot be reached: \(error)")
                }
            }
    }

    private func connected(_ channel: any Channel) {
        guard case .connecting = state else {
            channel.close(promise: nil)
            return
        }
        state = .connected(channel)
        nextCorrelationId = 0
        nextReply = 0
        let waiting = unsent
        unsent.removeAll()
        for request in waiting { write(request, to: channel) }
    }

    private func write(_ request: Request, to channel: any Channel) {
        var buffer = channel.allocator.buffer(capacity: request.bytes.count + 4)
        buffer.writeInteger(Int32(request.bytes.count))
        buffer.writeBytes(request.bytes)
        // After API key and version.
        buffer.setInteger(nextCorrelationId, at: 8)
        nextCorrelationId &+= 1
        var sent = request
        sent.bytes = []
        unanswered.append(sent)
        channel.writeAndFlush(buffer, promise: nil)
    }

    /// A reply's frame without its length; false when it is not the one that is due.
    func received(_ frame: UnsafeRawBufferPointer) -> Bool {
        guard frame.count >= 4, firstUnanswered < unanswered.count,
            frame.loadUnaligned(as: Int32.self).bigEndian == nextReply
        else { return false }
        nextReply &+= 1
        let request = unanswered[firstUnanswered]
        firstUnanswered += 1
        if firstUnanswered == unanswered.count || firstUnanswered > 256 {
            unanswered.removeFirst(firstUnanswered)
            firstUnanswered = 0
        }
        request.completion(.reply(frame))
        return true
    }

    func lost(_ channel: any Channel) {
        guard case .connected(let current) = state, current === channel else { return }
        state = .idle
        fail("the connection to \(endpoint.host):\(endpoint.port) was lost")
    }

    private func fail(_ reason: String) {
        let lost = unanswered[firstUnanswered...]
        unanswered.removeAll()
        firstUnanswered = 0
        let waiting = unsent
        unsent.removeAll()
        for request in lost { request.completion(.failed(.noAnswer(reason))) }
        for request in waiting { request.completion(.failed(.notSent(reason))) }
    }

    // MARK: Time

    /// One timer for all: replies come in order, so one that is late ends the connection.
    private func setTimer() {
        guard !isTimerSet else { return }
        isTimerSet = true
        eventLoop.scheduleTask(in: .milliseconds(250)) { [self] in
            isTimerSet = false
            let now = NIODeadline.now()
            let deadlines = unanswered[firstUnanswered...].map(\.deadline) + unsent.map(\.deadline)
            guard let first = deadlines.min() else { return }
            if first <= now {
                if case .connected(let channel) = state {
                    state = .idle
                    channel.close(promise: nil)
                }
                fail("\(endpoint.host):\(endpoint.port) did not answer in time")
            } else {
                setTimer()
            }
        }
    }
}

/// Cuts the stream into frames.
private final class PeerReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: PeerConnection
    private var partial: ByteBuffer?

    init(_ connection: PeerConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if var waiting = partial.take() {
            waiting.writeBuffer(&buffer)
            buffer = waiting
        }
        while let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self) {
            guard length >= 0, length <= 1 << 30 else {
                context.close(promise: nil)
                return
            }
            let total = Int(length) + 4
            guard buffer.readableBytes >= total else {
                // The rest in one go, rather than by doubling.
                buffer.reserveCapacity(minimumWritableBytes: total - buffer.readableBytes)
                break
            }
            let isDue = buffer.withUnsafeReadableBytes { bytes in
                connection.received(UnsafeRawBufferPointer(rebasing: bytes[4..<total]))
            }
            guard isDue else {
                context.close(promise: nil)
                return
            }
            buffer.moveReaderIndex(forwardBy: total)
        }
        if buffer.readableBytes > 0 { partial = buffer }
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.lost(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
