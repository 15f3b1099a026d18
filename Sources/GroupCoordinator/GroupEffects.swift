import CoordinatorCore
import KafkaProtocol

/// What handling one event leads to, collected while the state changes: records in the order in which they must be
/// replayed, replies, and the timers. `ReplyQueue` decides when the replies may leave.
struct GroupEffects: Sendable {
    var now: Int64 = 0
    var records: [GroupRecord] = []
    /// Whether a crash between two of the records does no harm, so that they may be several batches. Deletions can be
    /// many.
    var isDivisible = false
    /// The producer in whose transaction the records are.
    var producer: TransactionalProducer?
    /// Written instead of records.
    var endOfTransaction: TransactionEnd?
    var replies: [PendingReply] = []
    var deadlines = DeadlineQueue<GroupTimer>()

    mutating func reply(_ token: RequestToken, _ response: GroupResponse) {
        replies.append(PendingReply(token: token, response: response))
    }

    mutating func schedule(_ timer: GroupTimer, after milliseconds: Int64) {
        deadlines.schedule(timer, at: now + max(0, milliseconds))
    }

    mutating func cancel(_ timer: GroupTimer) {
        deadlines.cancel(timer)
    }

    /// Bounds the batches of divisible records.
    static let divisibleBatchRecords = 1_000

    /// Hands out what an event led to.
    mutating func flush(through queue: inout ReplyQueue<GroupResponse, Never>, into actions: inout [GroupAction]) {
        precondition(producer == nil || !isDivisible, "a transaction's records are one batch")
        precondition(endOfTransaction == nil || records.isEmpty, "an end comes alone")
        if let end = endOfTransaction { queue.append(.endOfTransaction(end), into: &actions) }
        let limit = isDivisible ? Self.divisibleBatchRecords : records.count
        var rest = records[...]
        while !rest.isEmpty {
            let batch = rest.prefix(limit).map { $0.encoded() }
            queue.append(producer.map { .transactional(batch, $0) } ?? .records(batch), into: &actions)
            rest = rest.dropFirst(limit)
        }
        for reply in replies { queue.release(.reply(reply.token, reply.response), into: &actions) }
        records.removeAll(keepingCapacity: true)
        replies.removeAll(keepingCapacity: true)
        isDivisible = false
        producer = nil
        endOfTransaction = nil
    }
}

package typealias GroupAction = CoordinatorAction<GroupResponse, Never>

struct PendingReply: Sendable, Equatable {
    let token: RequestToken
    let response: GroupResponse
}
