import Broker
import NIOCore

/// Stands between the network and a connection's own handler, cuts both streams into frames, and does to them what the
/// hooks say. Confined to the connection's event loop.
///
/// Replies come in the order of the requests, so the handler keeps a place for each request that is owed one.
final class InterceptionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private struct OwedReply {
        enum State {
            /// The broker has the request; what its reply will meet.
            case atBroker(Interception.Action, InterceptedAPI?)
            /// The reply, which its delay holds back.
            case delayed(ByteBuffer)
            case ready(ByteBuffer)
            case never
            case closing
        }

        let id: UInt64
        /// Kept only where the reply is replaced.
        var request: RequestFrame?
        var state: State
    }

    /// Longer frames are refused by the broker, and passed on to it as they come.
    private let frameLimit: Int
    private let hooks: HookRegistry
    private let broker: Broker
    private var context: ChannelHandlerContext?
    private var received = ByteBuffer()
    private var sent = ByteBuffer()
    private var owed: [OwedReply] = []
    private var nextId: UInt64 = 0
    /// A request waits out its delay, and what came behind it waits too.
    private var isHolding = false
    /// The channel wanted to read meanwhile.
    private var owesRead = false
    /// A reply was dropped: none of the later ones is sent.
    private var isSilent = false
    /// Something came that is no frame: the broker's to refuse.
    private var isTransparent = false

    init(hooks: HookRegistry, broker: Broker) {
        self.hooks = hooks
        self.broker = broker
        frameLimit = broker.limits.requestBytes
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        owed.removeAll()
        context.fireChannelInactive()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        takeRequests()
    }

    func read(context: ChannelHandlerContext) {
        if isHolding { owesRead = true } else { context.read() }
    }

    private func takeRequests() {
        while !isHolding, let context, received.readableBytes > 0 {
            if isTransparent {
                pass(received, context)
                received.clear()
                return
            }
            guard let length = received.getInteger(at: received.readerIndex, as: Int32.self) else { return }
            guard length >= 0, length <= frameLimit else {
                isTransparent = true
                continue
            }
            guard let frame = received.readSlice(length: 4 + Int(length)) else { return }
            received.discardReadBytes()
            take(frame, context)
        }
    }

    private func take(_ frame: ByteBuffer, _ context: ChannelHandlerContext) {
        guard let request = RequestFrame(frame) else {
            pass(frame, context)
            return
        }
        guard
            let (api, interception) = hooks.decide(request, broker)
        else {
            execute(frame, request, context)
            return
        }
        if interception.moment == .afterExecution {
            execute(frame, request, then: interception.action, of: api, context)
            return
        }
        switch interception.action {
        case .proceed:
            execute(frame, request, context)
        case .fail(let error):
            if request.hasReply, let reply = api.refuse(request, error.code, broker) {
                owe(request, .ready(reply))
                sendReplies()
            } else {
                context.close(promise: nil)
            }
        case .delay(let duration):
            isHolding = true
            after(duration) { handler in
                guard let context = handler.context else { return }
                handler.isHolding = false
                handler.execute(frame, request, context)
                handler.takeRequests()
                if !handler.isHolding, handler.owesRead {
                    handler.owesRead = false
                    context.read()
                }
            }
        case .closeConnection:
            context.close(promise: nil)
        case .dropReply:
            if request.hasReply {
                owe(request, .never)
                sendReplies()
            }
        }
    }

    private func execute(
        _ frame: ByteBuffer, _ request: RequestFrame, then action: Interception.Action = .proceed,
        of api: InterceptedAPI? = nil, _ context: ChannelHandlerContext
    ) {
        if request.hasReply {
            owe(request, .atBroker(action, api))
        } else if action != .proceed, action != .dropReply {
            // There is no reply to do something to, but there is a connection.
            if case .delay = action {} else { closeWhenExecuted(context) }
        }
        pass(frame, context)
    }

    /// The broker writes what came in this tick at its end, before what is scheduled here.
    private func closeWhenExecuted(_ context: ChannelHandlerContext) {
        after(.zero) { $0.context?.close(promise: nil) }
    }

    private func pass(_ frame: ByteBuffer, _ context: ChannelHandlerContext) {
        context.fireChannelRead(wrapInboundOut(frame))
    }

    // MARK: Replies

    private func owe(_ request: RequestFrame, _ state: OwedReply.State) {
        guard !isSilent else { return }
        nextId += 1
        var kept: RequestFrame?
        if case .atBroker(.fail, _) = state { kept = request }
        owed.append(OwedReply(id: nextId, request: kept, state: state))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .byteBuffer(var buffer):
            sent.writeBuffer(&buffer)
        case .fileRegion(let region):
            do {
                try sent.write(region)
            } catch {
                promise?.fail(error)
                context.close(promise: nil)
                return
            }
        }
        promise?.succeed()
        while let length = sent.getInteger(at: sent.readerIndex, as: Int32.self),
            let frame = sent.readSlice(length: 4 + Int(length))
        {
            answered(frame)
        }
        sent.discardReadBytes()
        sendReplies()
    }

    /// The broker has answered the oldest request that it has.
    private func answered(_ frame: ByteBuffer) {
        let place = owed.firstIndex { owed in
            if case .atBroker = owed.state { true } else { false }
        }
        guard let place, case .atBroker(let action, let api) = owed[place].state else { return }
        switch action {
        case .proceed: owed[place].state = .ready(frame)
        case .closeConnection: owed[place].state = .closing
        case .dropReply: owed[place].state = .never
        case .fail(let error):
            let reply = owed[place].request.flatMap { api?.refuse($0, error.code, broker) }
            owed[place].state = reply.map { .ready($0) } ?? .closing
        case .delay(let duration):
            owed[place].state = .delayed(frame)
            let id = owed[place].id
            after(duration) { handler in
                guard let place = handler.owed.firstIndex(where: { $0.id == id }) else { return }
                handler.owed[place].state = .ready(frame)
                handler.sendReplies()
            }
        }
    }

    /// Sends what is ready, in order.
    private func sendReplies() {
        guard let context else { return }
        var count = 0
        sending: for reply in owed {
            switch reply.state {
            case .ready(let frame):
                context.write(wrapOutboundOut(.byteBuffer(frame)), promise: nil)
                count += 1
            case .atBroker, .delayed:
                break sending
            case .never:
                isSilent = true
                break sending
            case .closing:
                context.flush()
                context.close(promise: nil)
                return
            }
        }
        if count > 0 { context.flush() }
        if isSilent { owed.removeAll() } else { owed.removeFirst(count) }
    }

    // MARK: Time

    private func after(_ duration: Duration, _ body: @escaping (InterceptionHandler) -> Void) {
        guard let context else { return }
        let nanoseconds =
            duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
        context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(nanoseconds)) { [weak self] in
            if let self { body(self) }
        }
    }
}
