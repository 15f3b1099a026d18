import Logging
import Synchronization

/// Commits one after the other in the order of the calls. Those that come while one is under way go together as the next.
final class CommitQueue: Sendable {
    typealias Offsets = [TopicPartition: ConsumedOffset]
    typealias Outcome = Result<Void, ClientError>

    private struct Pending {
        var offsets: Offsets = [:]
        var waiters: [OneShot<Outcome>] = []
    }

    private struct State {
        var pending: Pending?
        var isRunning = false
        /// What the group has as far as this consumer knows.
        var committed: Offsets = [:]
        var lastError: ClientError?
    }

    private let send: @Sendable (Offsets) async throws(ClientError) -> Void
    private let logger: Logger
    private let metrics: ConsumerMetrics
    private let state = Mutex(State())

    init(
        logger: Logger, metrics: ConsumerMetrics, send: @escaping @Sendable (Offsets) async throws(ClientError) -> Void
    ) {
        self.logger = logger
        self.metrics = metrics
        self.send = send
    }

    /// Waits for the commit. Throws what it met; `cancelled` when the task is, and the commit may happen nevertheless.
    func commit(_ offsets: Offsets) async throws(ClientError) {
        guard !offsets.isEmpty else { return }
        let waiter = OneShot<Outcome>()
        enqueue(offsets, waiter)
        guard let outcome = await waiter.wait() else {
            throw ClientError(.cancelled, "cancelled; the offsets may be committed nevertheless")
        }
        try outcome.get()
    }

    /// Does not wait; an error goes to the log and to `lastError`.
    func commitInBackground(_ offsets: Offsets) {
        if !offsets.isEmpty { enqueue(offsets, nil) }
    }

    /// Until what was enqueued so far is over.
    func drain() async {
        let waiter = OneShot<Outcome>()
        let isIdle = state.withLock { state in
            guard state.isRunning else { return true }
            state.pending = state.pending ?? Pending()
            state.pending!.waiters.append(waiter)
            return false
        }
        if !isIdle { _ = await waiter.wait(isCancellable: false) }
    }

    /// Why the last commit failed; nil when it did not.
    var lastError: ClientError? { state.withLock { $0.lastError } }

    /// Those of `offsets` that the group does not have yet.
    func news(in offsets: Offsets) -> Offsets {
        state.withLock { state in offsets.filter { state.committed[$0.key]?.offset != $0.value.offset } }
    }

    /// The group is known to have `offsets`.
    func learn(_ offsets: Offsets) {
        state.withLock { $0.committed.merge(offsets) { $1 } }
    }

    /// Others may commit these now.
    func forget(_ partitions: [TopicPartition]) {
        state.withLock { state in
            for partition in partitions { state.committed[partition] = nil }
        }
    }

    private func enqueue(_ offsets: Offsets, _ waiter: OneShot<Outcome>?) {
        let mustRun = state.withLock { state in
            var pending = state.pending ?? Pending()
            pending.offsets.merge(offsets) { $1 }
            if let waiter { pending.waiters.append(waiter) }
            state.pending = pending
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if mustRun { Task { await run() } }
    }

    private func run() async {
        while let pending = next() {
            var outcome = Outcome.success(())
            do throws(ClientError) {
                if !pending.offsets.isEmpty {
                    try await send(pending.offsets)
                    metrics.committed(isFailed: false)
                }
                learn(pending.offsets)
                state.withLock { $0.lastError = nil }
            } catch {
                outcome = .failure(error)
                metrics.committed(isFailed: true)
                logger.warning("consumer.commit.failed", metadata: ["error": "\(error)"])
                state.withLock { $0.lastError = error }
            }
            for waiter in pending.waiters { waiter.complete(outcome) }
        }
    }

    private func next() -> Pending? {
        state.withLock { state in
            defer { state.pending = nil }
            if state.pending == nil { state.isRunning = false }
            return state.pending
        }
    }
}
