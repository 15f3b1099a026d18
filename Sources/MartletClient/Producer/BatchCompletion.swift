import Synchronization

/// What became of the records of a batch, and who waits to know it. It outlives the batch's memory.
final class BatchCompletion: Sendable {
    enum Outcome: Sendable {
        /// `baseOffset` is negative when the broker did not say it; `appendTime` likewise when records keep their own.
        case acknowledged(baseOffset: Int64, appendTime: Int64)
        case failed(ClientError)
        /// The records waited for their topic and have gone to these batches, by their index.
        case forwarded([Delivery])
    }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Outcome?, Never>
    }

    private struct State {
        var outcome: Outcome?
        var nextWaiter: UInt64 = 0
        var waiters: [Waiter] = []
        /// Cancelled before they had begun to wait.
        var cancelled: Set<UInt64> = []
    }

    let topic: String
    let partition: Int32
    private let state = Mutex(State())

    init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    var outcome: Outcome? { state.withLock { $0.outcome } }

    /// The first outcome counts.
    func complete(_ outcome: Outcome) {
        let waiters = state.withLock { state -> [Waiter] in
            guard state.outcome == nil else { return [] }
            state.outcome = outcome
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: outcome) }
    }

    /// The outcome; nil when the task is cancelled before.
    nonisolated(nonsending) func wait() async -> Outcome? {
        let (early, id) = state.withLock { state in
            state.nextWaiter += 1
            return (state.outcome, state.nextWaiter)
        }
        if let early { return early }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (isOver, outcome) = state.withLock { state -> (Bool, Outcome?) in
                    if let outcome = state.outcome { return (true, outcome) }
                    if state.cancelled.remove(id) != nil { return (true, nil) }
                    state.waiters.append(Waiter(id: id, continuation: continuation))
                    return (false, nil)
                }
                if isOver { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard state.outcome == nil else { return nil }
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else {
                    state.cancelled.insert(id)
                    return nil
                }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(returning: nil)
        }
    }
}
