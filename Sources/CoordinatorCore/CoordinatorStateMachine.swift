import KafkaProtocol

/// What a request's header and connection say.
package struct CoordinatorRequestContext: Sendable, Equatable {
    package var apiVersion: Int16
    package var clientId: String
    package var clientHost: String

    package init(apiVersion: Int16, clientId: String, clientHost: String) {
        self.apiVersion = apiVersion
        self.clientId = clientId
        self.clientHost = clientHost
    }
}

/// A coordinator of what one partition of an internal topic holds, without clock, I/O and randomness of its own. Times
/// are milliseconds of the wall clock.
///
/// The driver's duties:
/// 1. Read the partition's log and `replay` it, then call `finishLoading`. Until then requests are answered
///    COORDINATOR_LOAD_IN_PROGRESS.
/// 2. Carry out the actions in order. Each `append` becomes one batch; report it with `appended`, in the order of
///    appending. Events may be handled while appends are outstanding.
/// 3. Call `advance` not later than `nextDeadline`.
///
/// State changes when an event is handled, before its records are durable; replies wait until they are. When an append
/// fails, what the state says was not written, so the machine answers everything that waits with an error and refuses
/// all further work: the driver drops it and loads another from the log.
package protocol CoordinatorStateMachine: Sendable {
    associatedtype Request: Sendable
    associatedtype Response: WithdrawableResponse
    associatedtype Effect: Sendable & Equatable
    typealias Action = CoordinatorAction<Response, Effect>

    /// Takes the next record of the log. With a producer it counts once that one's transaction is committed.
    mutating func replay(key: [UInt8], value: [UInt8]?, by producer: TransactionalProducer?)
        throws(ProtocolDecodingError)
    /// Takes the end of a transaction from the log.
    mutating func replay(_ end: TransactionEnd)
    mutating func finishLoading(now: Int64, into actions: inout [Action])

    /// Handles a request. Its reply is among the actions of this call or of a later one.
    mutating func handle(
        _ request: Request, token: RequestToken, context: CoordinatorRequestContext, now: Int64,
        using generator: inout some RandomNumberGenerator, into actions: inout [Action])

    /// The answer to a request that nobody can work on: the coordinator is loading, away, or its log failed.
    static func refusal(of request: Request, apiVersion: Int16, _ code: ErrorCode) -> Response

    /// Reports the end of an append. With an error the machine is of no further use.
    mutating func appended(_ token: AppendToken, error: ErrorCode?, now: Int64, into actions: inout [Action])

    /// When `advance` must be called at the latest; it may turn out that nothing was due.
    var nextDeadline: Int64? { get }
    mutating func advance(now: Int64, into actions: inout [Action])

    /// Ends the machine, because the partition moves to another broker or this one stops: all open requests are
    /// answered with `error`.
    mutating func unload(error: ErrorCode, now: Int64, into actions: inout [Action])

    /// Kinds of records in the log that this build does not know, with how many there were. They are left where they
    /// are.
    var skippedKeyVersions: [Int16: Int] { get }
}
