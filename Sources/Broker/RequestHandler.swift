import KafkaProtocol

/// How one API is answered. One file each, in `Handlers/`; `SupportedApis` lists them all.
protocol RequestHandler: SendableMetatype {
    associatedtype Request: ProtocolRequest
    /// The versions answered here; those of the specification, or fewer.
    static var versions: ClosedRange<Int16> { get }
    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Request.Response>
}

extension RequestHandler {
    static var versions: ClosedRange<Int16> { Request.validVersions }
}

enum HandlerOutcome<Response: ProtocolResponse> {
    case reply(Response)
    /// The handler keeps the ticket and replies when it can.
    case later
}

/// A request that is being handled.
struct RequestContext {
    let broker: Broker
    let loop: BrokerLoop
    let connection: Connection
    let apiKey: ApiKey
    let version: Int16
    let correlationId: Int32
    let clientId: String?

    /// Keeps the reply's place; the ticket may go to any thread.
    func laterReply<Response: ProtocolResponse>(_ type: Response.Type) -> ReplyTicket<Response> {
        let slot = connection.reserve(.elsewhere)
        return ReplyTicket(
            loop: loop, connection: connection.id, slot: slot, version: version, correlationId: correlationId,
            apiKey: apiKey, start: loop.tickStart)
    }

    /// Does the work on the control thread, where it may wait for the disk, and replies with what it returns.
    func onControlThread<Response: ProtocolResponse>(
        _ work: @escaping @Sendable (Broker) -> Response
    ) -> HandlerOutcome<Response> {
        let ticket = laterReply(Response.self)
        let broker = broker
        broker.control.enqueue { ticket.complete(work(broker)) }
        return .later
    }
}

/// The right to answer one request later, from any thread, once.
struct ReplyTicket<Response: ProtocolResponse>: Sendable {
    let loop: BrokerLoop
    let connection: UInt64
    let slot: UInt64
    let version: Int16
    let correlationId: Int32
    let apiKey: ApiKey
    let start: Int64

    func complete(_ response: Response) {
        var buffer = ReplyBuffer()
        RequestDispatcher.encode(response, apiKey, version, correlationId, into: &buffer)
        loop.metrics.countErrors(of: response, apiKey)
        let finished = buffer
        let deliver: @Sendable () -> Void = { [self] in
            loop.beginTick()
            loop.metrics.delayed(apiKey, nanoseconds: loop.broker.clock.monotonicNanoseconds - start)
            loop.connection(connection)?.complete(slot, with: finished)
        }
        if loop.port.isCurrent {
            deliver()
        } else {
            loop.port.execute(deliver)
        }
    }
}
