import CoordinatorCore
import KafkaProtocol

/// What handling one event leads to, collected while the state changes. `ReplyQueue` decides when replies and effects
/// may leave.
struct TransactionEffects: Sendable {
    var now: Int64 = 0
    var records: [CoordinatorRecord] = []
    /// Replies and effects that speak of the new state.
    private var held: [TransactionAction] = []
    /// Effects that do not.
    private var immediate: [TransactionEffect] = []
    var deadlines = DeadlineQueue<TransactionTimer>()

    mutating func reply(_ token: RequestToken, _ response: TransactionResponse) {
        held.append(.reply(token, response))
    }

    mutating func perform(_ effect: TransactionEffect) {
        held.append(.perform(effect))
    }

    mutating func performAtOnce(_ effect: TransactionEffect) {
        immediate.append(effect)
    }

    mutating func schedule(_ timer: TransactionTimer, at deadline: Int64) {
        deadlines.schedule(timer, at: deadline)
    }

    mutating func cancel(_ timer: TransactionTimer) {
        deadlines.cancel(timer)
    }

    /// Hands out what an event led to. Every record is a step of its own, so a crash between two batches does no harm.
    mutating func flush(
        through queue: inout ReplyQueue<TransactionResponse, TransactionEffect>, into actions: inout [TransactionAction]
    ) {
        actions += immediate.map { .perform($0) }
        var batch: [CoordinatorRecord] = []
        var bytes = 0
        for record in records {
            if !batch.isEmpty && bytes + record.batchBytes > TransactionLimits.recordBytes {
                queue.append(.records(batch), into: &actions)
                batch = []
                bytes = 0
            }
            batch.append(record)
            bytes += record.batchBytes
        }
        if !batch.isEmpty { queue.append(.records(batch), into: &actions) }
        for action in held { queue.release(action, into: &actions) }
        records.removeAll(keepingCapacity: true)
        held.removeAll(keepingCapacity: true)
        immediate.removeAll(keepingCapacity: true)
    }
}

extension CoordinatorRecord {
    /// What the record takes of a batch, at most.
    var batchBytes: Int { key.count + (value?.count ?? 0) + TransactionLimits.recordOverheadBytes }
}
