import CoordinatorCore
import KafkaProtocol

/// The transactional ids of one partition of `__transaction_state`: who their producer is, and how far their
/// transaction (KIP-98, 360, 890). A state machine without clock, I/O and randomness of its own.
///
/// Further duties of the driver: carry out the effects and report with `producerIdAllocated` and `markersWritten`.
///
/// What Kafka answers with CONCURRENT_TRANSACTIONS while the end of a transaction is being written waits here for a
/// moment first, and is handled anew when the transaction is complete.
package struct TransactionCoordinatorShard: CoordinatorStateMachine {
    package typealias Request = TransactionRequest
    package typealias Response = TransactionResponse
    package typealias Effect = TransactionEffect

    enum Phase: Sendable, Equatable {
        case loading
        case active
        case failed(ErrorCode)
    }

    /// How a request is done with, for now.
    enum Handling: Sendable, Equatable {
        case answer(TransactionResponse)
        case refuse(ErrorCode)
        case wait(Wait)
    }

    let configuration: TransactionConfiguration
    let coordinatorEpoch: Int32
    var phase = Phase.loading
    var transactions: [String: TransactionMetadata] = [:]
    var parked = ParkedRequests()
    /// Ids whose transaction has become complete during this event.
    var completed: [String] = []
    var producerIds = ProducerIdRequests()
    var effects = TransactionEffects()
    var replies = ReplyQueue<TransactionResponse, TransactionEffect>()
    package internal(set) var skippedKeyVersions: [Int16: Int] = [:]

    /// The epoch is that of the shard's partition: ends are written with it.
    package init(configuration: TransactionConfiguration, coordinatorEpoch: Int32) {
        self.configuration = configuration
        self.coordinatorEpoch = coordinatorEpoch
    }

    // MARK: Requests

    package mutating func handle(
        _ request: TransactionRequest, token: RequestToken, context: CoordinatorRequestContext, now: Int64,
        using generator: inout some RandomNumberGenerator, into actions: inout [TransactionAction]
    ) {
        effects.now = now
        switch phase {
        case .loading:
            refuse(request, token, context.apiVersion, .coordinatorLoadInProgress)
        case .failed(let code):
            refuse(request, token, context.apiVersion, code)
        case .active:
            process(PendingRequest(request: request, token: token, apiVersion: context.apiVersion))
        }
        finishEvent(into: &actions)
    }

    mutating func process(_ pending: PendingRequest) {
        switch mustQueue(pending) ? .wait(.completion) : handle(pending) {
        case .answer(let response): effects.reply(pending.token, response)
        case .refuse(let code): refuse(pending, code)
        case .wait(let reason): park(pending, reason)
        }
    }

    private mutating func handle(_ pending: PendingRequest) -> Handling {
        switch pending.request {
        case .initProducerId(let request):
            return initProducerId(request)
        case .addPartitions(let id, let producer, let partitions, let version):
            return addPartitions(id, producer, partitions, transactionVersion: version)
        case .verifyPartitions(let id, let producer, let partitions):
            return verifyPartitions(id, producer, partitions)
        case .endTransaction(let request):
            return endTransaction(request, apiVersion: pending.apiVersion)
        case .describe(let ids):
            return .answer(.describe(ids.map(describe)))
        case .list(let request):
            return .answer(.list(list(request)))
        }
    }

    mutating func refuse(_ pending: PendingRequest, _ code: ErrorCode) {
        refuse(pending.request, pending.token, pending.apiVersion, code)
    }

    private mutating func refuse(
        _ request: TransactionRequest, _ token: RequestToken, _ apiVersion: Int16, _ code: ErrorCode
    ) {
        effects.reply(token, .failure(request, apiVersion: apiVersion, code))
    }

    /// Lets go on what waited for transactions that this event has completed, then hands out all.
    mutating func finishEvent(into actions: inout [TransactionAction]) {
        while !completed.isEmpty { resume(completed.removeFirst()) }
        effects.flush(through: &replies, into: &actions)
    }

    package static func refusal(
        of request: TransactionRequest, apiVersion: Int16, _ code: ErrorCode
    ) -> TransactionResponse {
        .failure(request, apiVersion: apiVersion, code)
    }

    // MARK: Appends

    package mutating func appended(
        _ token: AppendToken, error: ErrorCode?, now: Int64, into actions: inout [TransactionAction]
    ) {
        guard let error else {
            replies.succeeded(token, into: &actions)
            return
        }
        replies.failed(token, error, into: &actions)
        end(AppendError.bystanderCode(for: error), into: &actions)
    }

    package mutating func unload(error: ErrorCode, now: Int64, into actions: inout [TransactionAction]) {
        replies.failAll(error, into: &actions)
        end(error, into: &actions)
    }

    private mutating func end(_ code: ErrorCode, into actions: inout [TransactionAction]) {
        for id in parked.transactionalIds {
            for pending in parked.removeAll(at: id) { refuse(pending, code) }
        }
        effects.deadlines = DeadlineQueue()
        phase = .failed(code)
        effects.flush(through: &replies, into: &actions)
    }

    // MARK: Time

    package var nextDeadline: Int64? { effects.deadlines.nextDeadline }

    package mutating func advance(now: Int64, into actions: inout [TransactionAction]) {
        guard phase == .active else { return }
        effects.now = now
        while let timer = effects.deadlines.popExpired(now: now) {
            switch timer {
            case .timeout(let id): timedOut(id)
            case .parked(let id): waitedEnough(id)
            case .expiration: expireIdleIds()
            }
            // Each timer is an event of its own.
            finishEvent(into: &actions)
        }
    }
}
