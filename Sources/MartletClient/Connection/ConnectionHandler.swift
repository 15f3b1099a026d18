import NIOConcurrencyHelpers
import NIOCore

/// A request on its way into a connection.
struct OutboundRequest: Sendable {
    /// Starts with the frame's length and header.
    var frame: ByteBuffer
    /// What follows, sent from where it lies.
    var rest: [ByteBuffer] = []
    let timeout: TimeAmount
    /// nil when the broker sends no reply (produce with acks=0).
    let reply: (any ReplyReceiver)?
    /// A part of saying who the client is, between whose requests no other may come.
    var isAuthentication = false
}

/// The client says once more who it is (KIP-368). Outbound events.
enum Reauthentication: Sendable {
    /// Other requests wait from now on. Its promise succeeds when the replies to those before have come.
    case begin
    /// They go on.
    case end
    /// The connection ends.
    case failed(ClientError)
}

/// Numbers the requests, gives each reply to its waiter and ends the connection when one is late.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = OutboundRequest
    typealias OutboundOut = ByteBuffer

    private struct Waiter {
        let reply: any ReplyReceiver
        let deadline: NIODeadline
        let timeout: TimeAmount
    }

    private let address: BrokerAddress
    private var correlator = RequestCorrelator<Waiter>()
    /// Requests that wait for the end of an authentication; nil when there is none.
    private var held: [(request: OutboundRequest, promise: EventLoopPromise<Void>?)]?
    /// Succeeds when no reply is awaited.
    private var drained: EventLoopPromise<Void>?
    /// Why the connection ends, also for those who write to it after that.
    private let failure: NIOLockedValueBox<ClientError?>
    /// One timer for all requests, not later than the first of their deadlines.
    private var timer: (due: NIODeadline, scheduled: Scheduled<Void>)?

    init(address: BrokerAddress, failure: NIOLockedValueBox<ClientError?>) {
        self.address = address
        self.failure = failure
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let request = unwrapOutboundIn(data)
        guard held == nil || request.isAuthentication else {
            held!.append((request, promise))
            return
        }
        send(context, request, promise)
    }

    private func send(
        _ context: ChannelHandlerContext, _ outbound: OutboundRequest, _ promise: EventLoopPromise<Void>?
    ) {
        var request = outbound
        let id: Int32
        if let reply = request.reply {
            let deadline = NIODeadline.now() + request.timeout
            id = correlator.register(Waiter(reply: reply, deadline: deadline, timeout: request.timeout))
            watch(context, until: deadline)
        } else {
            id = correlator.skip()
        }
        request.frame.setInteger(id, at: request.frame.readerIndex + RequestFrame.correlationIdPosition)
        guard let last = request.rest.popLast() else {
            return context.write(wrapOutboundOut(request.frame), promise: promise)
        }
        context.write(wrapOutboundOut(request.frame), promise: nil)
        for part in request.rest { context.write(wrapOutboundOut(part), promise: nil) }
        context.write(wrapOutboundOut(last), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        // The decoder lets no frame without a correlation id through.
        guard let id = frame.getInteger(at: frame.readerIndex, as: Int32.self), let waiter = correlator.complete(id)
        else {
            end(context, ClientError(.malformedReply, "\(address) answered what was not asked"))
            return
        }
        waiter.reply.complete(.success(frame))
        tellDrained()
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let event = event as? Reauthentication else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        guard context.channel.isActive else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch event {
        case .begin:
            held = []
            drained = promise
            // Also of those that nobody waits for any more: what is held would wait for their replies for ever.
            if let last = correlator.waiters.map(\.deadline).max() { watch(context, until: last) }
            tellDrained()
        case .end:
            let waiting = held ?? []
            held = nil
            for (request, promise) in waiting {
                if request.reply?.isOver == true {
                    // It was given up meanwhile.
                    promise?.fail(CancellationError())
                } else {
                    send(context, request, promise)
                }
            }
            context.flush()
            promise?.succeed()
        case .failed(let error):
            end(context, error)
            promise?.succeed()
        }
    }

    private func tellDrained() {
        guard let drained, correlator.count == 0 else { return }
        self.drained = nil
        drained.succeed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What TLS met first says more than what follows from it.
        guard failure.withLockedValue({ $0 }) == nil else { return }
        end(
            context,
            (error as? ClientError) ?? TransportSecurity.reason(error, address)
                ?? ClientError(.connectionLost, "\(address): \(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        let error =
            failure.withLockedValue { $0 }
            ?? ClientError(
                .connectionLost, "\(address) ended the connection", nextStep: "see the broker's log for the reason")
        timer?.scheduled.cancel()
        timer = nil
        for waiter in correlator.removeAll() { waiter.reply.complete(.failure(error)) }
        drained?.fail(error)
        drained = nil
        for (request, promise) in held ?? [] {
            request.reply?.complete(.failure(error))
            promise?.fail(error)
        }
        held = nil
        context.fireChannelInactive()
    }

    private func watch(_ context: ChannelHandlerContext, until deadline: NIODeadline) {
        if let timer, timer.due <= deadline { return }
        timer?.scheduled.cancel()
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let scheduled = context.eventLoop.scheduleTask(deadline: deadline) {
            let (handler, context) = bound.value
            handler.timer = nil
            handler.endIfLate(context)
        }
        timer = (deadline, scheduled)
    }

    private func endIfLate(_ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        let open = correlator.waiters.filter { drained != nil || !$0.reply.isOver }
        if let late = open.first(where: { $0.deadline <= now }) {
            end(
                context,
                ClientError(
                    .timedOut, "\(address) did not answer within \(late.timeout.nanoseconds / 1_000_000) ms",
                    nextStep: "check the broker's load and its log"))
        } else if let next = open.map(\.deadline).min() {
            watch(context, until: next)
        }
    }

    private func end(_ context: ChannelHandlerContext, _ error: ClientError) {
        failure.withLockedValue { $0 = error }
        context.close(promise: nil)
    }
}
