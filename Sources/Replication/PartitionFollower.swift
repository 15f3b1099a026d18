import CommitLog
import Synchronization

/// A partition that this node follows, in one leader epoch: it has what the leader has, or is on the way there.
package final class PartitionFollower: Sendable {
    package let topic: String
    package let partition: Int32
    package let log: Log
    package let leaderEpoch: Int32
    /// -1 while nobody leads.
    package let leader: Int32
    private let waiting = Mutex<Waiting>(Waiting())
    private let leaderWatermark = Atomic<Int64>(0)

    private struct Waiting: Sendable {
        /// Several, when a fetch is begun anew while the one before still waits for the same sync.
        var synchronizations: [(offset: Int64, action: @Sendable () -> Void)] = []
        var waiters: [PartitionWaiter] = []
        var ended: WaitResult?
    }

    package init(topic: String, partition: Int32, log: Log, leader: Int32, leaderEpoch: Int32) {
        self.topic = topic
        self.partition = partition
        self.log = log
        self.leader = leader
        self.leaderEpoch = leaderEpoch
        log.setRole(isLeader: false, epoch: leaderEpoch)
    }

    /// What of it may be read here: what the leader has said is committed, as far as it has come.
    package var highWatermark: Int64 { log.highWatermark }

    /// Committed records that this replica knows of and does not have.
    package var lag: Int64 { max(0, leaderWatermark.load(ordering: .relaxed) - log.endOffset) }

    /// The leader's high watermark, as it came with the records.
    package func committed(to offset: Int64) {
        leaderWatermark.store(offset, ordering: .relaxed)
        log.updateHighWatermark(min(offset, log.endOffset))
        let reached = highWatermark
        let woken = waiting.withLock { waiting in
            guard !waiting.waiters.isEmpty else { return [PartitionWaiter]() }
            defer { waiting.waiters.removeAll { $0.offset <= reached } }
            return waiting.waiters.filter { $0.offset <= reached }
        }
        for waiter in woken { waiter.listener.wake(waiter, .reached) }
    }

    /// Calls `action` when everything below the offset is on stable storage, at once if it is.
    package func whenSynchronized(
        to offset: Int64, by synchronizer: any LogSynchronizer, _ action: @escaping @Sendable () -> Void
    ) {
        let isThere = waiting.withLock { waiting -> Bool in
            if log.durableOffset >= offset || waiting.ended != nil { return true }
            waiting.synchronizations.append((offset, action))
            return false
        }
        if isThere { action() } else { synchronizer.request(log, upTo: offset) }
    }

    /// After a sync: everything below the offset is on stable storage.
    package func synchronized(to offset: Int64) {
        let reached = waiting.withLock { waiting in
            guard !waiting.synchronizations.isEmpty else { return [@Sendable () -> Void]() }
            // What was cut off meanwhile needs no sync.
            let end = log.endOffset
            defer { waiting.synchronizations.removeAll { min($0.offset, end) <= offset } }
            return waiting.synchronizations.filter { min($0.offset, end) <= offset }.map(\.action)
        }
        for action in reached { action() }
    }

    /// A reader close to this replica waits for what comes next.
    package func wait(_ waiter: PartitionWaiter) -> PartitionLeader.WaitOutcome {
        waiting.withLock { waiting in
            if let ended = waiting.ended { return .over(ended) }
            if highWatermark >= waiter.offset { return .over(.reached) }
            waiting.waiters.append(waiter)
            return .waiting
        }
    }

    package func stopWaiting(_ listener: any PartitionListener, connection: UInt64, slot: UInt64) {
        waiting.withLock { waiting in
            waiting.waiters.removeAll {
                $0.listener === listener && $0.connection == connection && $0.slot == slot
            }
        }
    }

    /// This node has another role now, or the log is gone.
    package func end(_ result: WaitResult) {
        let (actions, woken) = waiting.withLock { waiting in
            waiting.ended = result
            defer {
                waiting.synchronizations.removeAll()
                waiting.waiters.removeAll()
            }
            return (waiting.synchronizations.map(\.action), waiting.waiters)
        }
        for action in actions { action() }
        for waiter in woken { waiter.listener.wake(waiter, result) }
    }
}
