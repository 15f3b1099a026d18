import CommitLog
import Synchronization

/// A partition that this node leads: its log, and how far its records may be seen.
///
/// The high watermark is the offset below which every in-sync replica has all records where the topic's `durability`
/// wants them. This node is the only replica so far, so with `page-cache` the high watermark is the log's end, and with
/// `fsync` it is the end of what was synced. Consumers read up to it, and acks=all waits for it.
package final class PartitionLeader: Sendable {
    package let topic: String
    package let partition: Int32
    package let log: Log
    /// Counts up over the partitions that this process opened; loops index their own tables with it.
    package let ordinal: Int
    package let leaderEpoch: Int32
    private let groupCommit: GroupCommit
    private let watermark: Atomic<Int64>
    /// From the topic's `durability`: whether the watermark waits for syncs.
    private let waitsForSync = Atomic<Bool>(true)
    /// Whether `flush.messages` or `flush.ms` may ask for a sync.
    private let hasFlushPolicy = Atomic<Bool>(false)
    private let waiting = Mutex(Waiting())
    /// Read without the lock, so that moving the watermark costs nothing when nobody waits.
    private let waiterCount = Atomic<Int>(0)

    private struct Waiting: Sendable {
        var waiters: [PartitionWaiter] = []
        /// Those that wait for stable storage, whatever the watermark does.
        var durabilityWaiters: [PartitionWaiter] = []
        /// The log went offline or away; for good.
        var hasFailed = false
    }

    package init(
        topic: String, partition: Int32, log: Log, ordinal: Int, leaderEpoch: Int32, groupCommit: GroupCommit
    ) {
        self.topic = topic
        self.partition = partition
        self.log = log
        self.ordinal = ordinal
        self.leaderEpoch = leaderEpoch
        self.groupCommit = groupCommit
        // Whatever recovery kept is on this node's disk; nothing else could have more of it.
        self.watermark = Atomic(log.endOffset)
        log.updateHighWatermark(log.endOffset)
        configurationChanged()
    }

    /// Takes over what the log's configuration now says.
    package func configurationChanged() {
        let configuration = log.currentConfiguration
        waitsForSync.store(configuration.durability == .fsync, ordering: .relaxed)
        hasFlushPolicy.store(
            configuration.flushMessages != .max || configuration.flushMilliseconds != .max, ordering: .relaxed)
    }

    package var highWatermark: Int64 { watermark.load(ordering: .acquiring) }

    /// The end of what a fetch may return.
    package func visibleEnd(committedOnly: Bool) -> Int64 {
        let highWatermark = highWatermark
        return committedOnly ? min(highWatermark, log.lastStableOffset) : highWatermark
    }

    /// Appends the batches of one tick in one write; each gets its outcome. When the durability is `fsync`, a sync is
    /// asked for here and the watermark follows it.
    package func append(_ batches: inout [PendingAppend], now: Int64) {
        log.append(&batches, leaderEpoch: leaderEpoch, now: now)
        let end = log.endOffset
        if waitsForSync.load(ordering: .relaxed) {
            if end > highWatermark { groupCommit.request(log, upTo: end) }
        } else {
            advance(to: end)
            if hasFlushPolicy.load(ordering: .relaxed), log.wantsSync(now: now) {
                groupCommit.request(log, upTo: end)
            }
        }
    }

    /// Asks for a sync if `flush.ms` wants one by now.
    package func flushIfDue(now: Int64) {
        if hasFlushPolicy.load(ordering: .relaxed), log.wantsSync(now: now) {
            groupCommit.request(log, upTo: log.endOffset)
        }
    }

    /// After a sync: everything below the offset is on stable storage.
    package func synchronized(to offset: Int64) {
        advance(to: offset)
        let woken = waiting.withLock { waiting -> [PartitionWaiter] in
            guard !waiting.durabilityWaiters.isEmpty else { return [] }
            let reached = waiting.durabilityWaiters.filter { $0.offset <= offset }
            waiting.durabilityWaiters.removeAll { $0.offset <= offset }
            return reached
        }
        for waiter in woken { waiter.listener.wake(waiter, failed: false) }
    }

    /// The log went offline or away: nothing that waits on it will come, now or later.
    package func failed() {
        let woken = waiting.withLock { waiting in
            waiting.hasFailed = true
            defer {
                waiting.waiters.removeAll()
                waiting.durabilityWaiters.removeAll()
            }
            waiterCount.store(0, ordering: .sequentiallyConsistent)
            return waiting.waiters + waiting.durabilityWaiters
        }
        for waiter in woken { waiter.listener.wake(waiter, failed: true) }
    }

    /// The largest epoch not above `epoch`, and where its records end; nil when nothing is known of it. An epoch that
    /// has no records yet is known by its leader only.
    package func end(ofEpoch epoch: Int32) -> (epoch: Int32, offset: Int64)? {
        if let entry = log.endOffset(forEpoch: epoch) { return (entry.epoch, entry.startOffset) }
        return epoch == leaderEpoch ? (epoch, log.endOffset) : nil
    }

    // MARK: Waiting

    package enum WaitOutcome: Sendable {
        /// The waiter will be woken.
        case waiting
        /// There is nothing to wait for.
        case reached
        /// What it would wait for will not come.
        case failed
    }

    /// Registers the waiter, unless its offset is reached already or never will be.
    package func wait(_ waiter: PartitionWaiter) -> WaitOutcome {
        waiting.withLock { waiting in
            if waiting.hasFailed { return .failed }
            waiting.waiters.append(waiter)
            // Sequentially consistent on both sides: either this sees the new watermark, or `advance` sees the waiter.
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            guard watermark.load(ordering: .sequentiallyConsistent) >= waiter.offset else { return .waiting }
            waiting.waiters.removeLast()
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            return .reached
        }
    }

    /// As `wait`, but for stable storage, also where the topic's durability does not ask for it.
    package func waitUntilDurable(_ waiter: PartitionWaiter) -> WaitOutcome {
        let outcome = waiting.withLock { waiting -> WaitOutcome in
            if waiting.hasFailed { return .failed }
            // A sync that ends after this look finds the waiter: it takes the same lock.
            if log.durableOffset >= waiter.offset { return .reached }
            waiting.durabilityWaiters.append(waiter)
            return .waiting
        }
        if case .waiting = outcome { groupCommit.request(log, upTo: waiter.offset) }
        return outcome
    }

    /// Forgets what a listener's connection and slot waited for.
    package func stopWaiting(_ listener: any PartitionListener, connection: UInt64, slot: UInt64) {
        _ = takeWaiters { $0.listener === listener && $0.connection == connection && $0.slot == slot }
    }

    private func advance(to offset: Int64) {
        // Before the watermark, or who reads both would see the new one with the last stable offset of the old, and wait
        // for records that are there.
        log.updateHighWatermark(offset)
        var current = watermark.load(ordering: .relaxed)
        while current < offset {
            let (exchanged, original) = watermark.weakCompareExchange(
                expected: current, desired: offset, ordering: .sequentiallyConsistent)
            if exchanged { break }
            current = original
        }
        guard waiterCount.load(ordering: .sequentiallyConsistent) > 0 else { return }
        let reached = highWatermark
        for waiter in takeWaiters({ $0.offset <= reached }) {
            waiter.listener.wake(waiter, failed: false)
        }
    }

    private func takeWaiters(_ isWanted: (PartitionWaiter) -> Bool) -> [PartitionWaiter] {
        waiting.withLock { waiting in
            var taken: [PartitionWaiter] = []
            waiting.waiters.removeAll { waiter in
                guard isWanted(waiter) else { return false }
                taken.append(waiter)
                return true
            }
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            return taken
        }
    }
}

extension PartitionLeader {
    /// How many wait here, for tests and diagnosis.
    package var waiterTotal: Int { waiting.withLock { $0.waiters.count } }
}
