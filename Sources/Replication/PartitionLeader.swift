import CommitLog
import Synchronization

/// A partition that this node leads, in one leader epoch: its log, how far its records may be seen, and who waits for
/// them.
///
/// The high watermark is the offset below which every in-sync replica has all records where the topic's `durability`
/// wants them: consumers read up to it, and acks=all waits for it. A partition without other replicas has no
/// `LeaderReplication` to ask: there the high watermark is the log's end, or with `fsync` the end of what was synced.
package final class PartitionLeader: Sendable {
    package let topic: String
    package let partition: Int32
    package let log: Log
    /// Counts up over the partitions that this process opened; loops index their own tables with it.
    package let ordinal: Int
    package let leaderEpoch: Int32
    let synchronizer: any LogSynchronizer
    let watermark: Atomic<Int64>
    /// From the topic's `durability`: whether the watermark waits for syncs.
    private let waitsForSync = Atomic<Bool>(true)
    /// Whether `flush.messages` or `flush.ms` may ask for a sync.
    private let hasFlushPolicy = Atomic<Bool>(false)
    /// nil inside while this node is the only replica.
    private let replication = Mutex<LeaderReplication?>(nil)
    private let isReplicated = Atomic<Bool>(false)
    private let inSync = Atomic<Int>(1)
    private let minimumInSync = Atomic<Int>(1)
    let waiting = Mutex(Waiting())
    /// Read without the lock, so that moving the watermark costs nothing when nobody waits.
    let waiterCount = Atomic<Int>(0)
    let replicaWaiterCount = Atomic<Int>(0)

    struct Waiting: Sendable {
        var waiters: [PartitionWaiter] = []
        /// Those that wait for stable storage, whatever the watermark does.
        var durabilityWaiters: [PartitionWaiter] = []
        /// Followers, which wait for the log's end.
        var replicaWaiters: [PartitionWaiter] = []
        /// The log went offline or away, or another leads; for good.
        var ended: WaitResult?
    }

    /// The replicas of a partition as its metadata has them.
    package struct Replicas: Sendable, Equatable {
        package var nodeId: Int32
        package var all: [Int32]
        package var inSync: [Int32]
        package var partitionEpoch: Int32

        package init(nodeId: Int32, all: [Int32], inSync: [Int32], partitionEpoch: Int32) {
            self.nodeId = nodeId
            self.all = all
            self.inSync = inSync
            self.partitionEpoch = partitionEpoch
        }
    }

    /// `isOpening` when the log was just recovered: all that it holds is on this node's disk. `now` in monotonic
    /// milliseconds.
    package init(
        topic: String, partition: Int32, log: Log, ordinal: Int, leaderEpoch: Int32, replicas: Replicas,
        isOpening: Bool, synchronizer: any LogSynchronizer, now: Int64
    ) {
        self.topic = topic
        self.partition = partition
        self.log = log
        self.ordinal = ordinal
        self.leaderEpoch = leaderEpoch
        self.synchronizer = synchronizer
        let end = log.endOffset
        let needsSync = log.currentConfiguration.durability == .fsync && !isOpening
        let localOffset = needsSync ? log.durableOffset : end
        if replicas.all == [replicas.nodeId] {
            self.watermark = Atomic(max(log.highWatermark, localOffset))
        } else {
            let state = LeaderReplication(
                nodeId: replicas.nodeId, replicas: replicas.all, inSync: replicas.inSync,
                partitionEpoch: replicas.partitionEpoch, localOffset: localOffset, logEnd: end,
                highWatermark: log.highWatermark, now: now)
            self.watermark = Atomic(state.highWatermark)
            replication.withLock { $0 = state }
            isReplicated.store(true, ordering: .relaxed)
        }
        inSync.store(replicas.inSync.count, ordering: .relaxed)
        log.setRole(isLeader: true, epoch: leaderEpoch)
        log.updateHighWatermark(highWatermark)
        configurationChanged()
        if needsSync, localOffset < end { synchronizer.request(log, upTo: end) }
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

    // MARK: Appending

    /// Appends the batches of one tick in one write; each gets its outcome. When the durability is `fsync`, a sync is
    /// asked for here and the watermark follows it.
    package func append(_ batches: inout [PendingAppend], now: Int64) {
        log.append(&batches, leaderEpoch: leaderEpoch, now: now)
        let end = log.endOffset
        if replicaWaiterCount.load(ordering: .sequentiallyConsistent) > 0 { wakeReplicas(upTo: end) }
        if waitsForSync.load(ordering: .relaxed) {
            if end > log.durableOffset { synchronizer.request(log, upTo: end) }
        } else {
            localAdvanced(to: end)
            if hasFlushPolicy.load(ordering: .relaxed), log.wantsSync(now: now) {
                synchronizer.request(log, upTo: end)
            }
        }
    }

    /// Asks for a sync if `flush.ms` wants one by now.
    package func flushIfDue(now: Int64) {
        if hasFlushPolicy.load(ordering: .relaxed), log.wantsSync(now: now) {
            synchronizer.request(log, upTo: log.endOffset)
        }
    }

    /// After a sync: everything below the offset is on stable storage.
    package func synchronized(to offset: Int64) {
        localAdvanced(to: offset)
        let woken = waiting.withLock { waiting -> [PartitionWaiter] in
            guard !waiting.durabilityWaiters.isEmpty else { return [] }
            let reached = waiting.durabilityWaiters.filter { $0.offset <= offset }
            waiting.durabilityWaiters.removeAll { $0.offset <= offset }
            return reached
        }
        for waiter in woken { waiter.listener.wake(waiter, .reached) }
    }

    /// Nothing that waits here will come, now or later: the log went offline or away, or another broker leads.
    package func end(_ result: WaitResult) {
        let woken = waiting.withLock { waiting in
            waiting.ended = result
            defer {
                waiting.waiters.removeAll()
                waiting.durabilityWaiters.removeAll()
                waiting.replicaWaiters.removeAll()
            }
            waiterCount.store(0, ordering: .sequentiallyConsistent)
            replicaWaiterCount.store(0, ordering: .sequentiallyConsistent)
            return waiting.waiters + waiting.durabilityWaiters + waiting.replicaWaiters
        }
        for waiter in woken { waiter.listener.wake(waiter, result) }
    }

    /// The largest epoch not above `epoch`, and where its records end; nil when nothing is known of it. An epoch that
    /// has no records yet is known by its leader only.
    package func end(ofEpoch epoch: Int32) -> (epoch: Int32, offset: Int64)? {
        if let entry = log.endOffset(forEpoch: epoch) { return (entry.epoch, entry.startOffset) }
        if epoch == leaderEpoch { return (epoch, log.endOffset) }
        // Of an epoch that began after this log's last and before this leader's there is nothing here.
        let latest = log.latestEpoch
        guard epoch > latest, epoch < leaderEpoch else {
            // This leader's epoch may have begun in between.
            return log.endOffset(forEpoch: epoch).map { ($0.epoch, $0.startOffset) }
        }
        return (latest < 0 ? epoch : latest, log.endOffset)
    }

    // MARK: Replicas

    /// Whether all that there was when this node began to lead is known to be committed. Before, the high watermark may lag
    /// behind what the leader before had shown (KIP-207).
    package var knowsCommitted: Bool {
        guard isReplicated.load(ordering: .relaxed) else { return true }
        return replication.withLock { $0.map { $0.highWatermark >= $0.epochStart } ?? true }
    }

    /// Replicas that have all that is committed, this one among them.
    package var inSyncCount: Int { inSync.load(ordering: .relaxed) }

    /// From the topic's `min.insync.replicas`.
    package var minimumInSyncReplicas: Int {
        get { minimumInSync.load(ordering: .relaxed) }
        set { minimumInSync.store(newValue, ordering: .relaxed) }
    }

    /// A follower asks for what comes at the offset. Whether it is a replica.
    package func fetched(by replica: Int32, brokerEpoch: Int64, from offset: Int64, now: Int64) -> Bool {
        change { replication in
            replication?.fetched(
                by: replica, brokerEpoch: brokerEpoch, from: offset, logEnd: log.endOffset, now: now) ?? false
        }
    }

    /// Another in-sync set to ask the controller for, if there should be one.
    package func propose(
        now: Int64, lagLimit: Int64, isEligible: (Int32) -> Bool
    ) -> LeaderReplication.Proposal? {
        guard isReplicated.load(ordering: .relaxed) else { return nil }
        return change { replication in
            replication?.propose(now: now, lagLimit: lagLimit, logEnd: log.endOffset, isEligible: isEligible)
        }
    }

    /// The controller did not take the proposal.
    package func refused(_ proposal: LeaderReplication.Proposal, wasSentBefore: Bool) {
        change { $0?.refused(proposal, wasSentBefore: wasSentBefore) }
    }

    /// The proposal that no answer is known of.
    package var openProposal: LeaderReplication.Proposal? { replication.withLock { $0?.proposal } }

    /// What the followers were seen to have; for those who look at the cluster.
    package var followers: [Int32: LeaderReplication.Follower] { replication.withLock { $0?.followers ?? [:] } }

    /// What holds for the partition in this leader epoch, as its metadata says. `now` in monotonic milliseconds.
    package func holds(_ replicas: Replicas, now: Int64) {
        let end = log.endOffset
        change { replication in
            if replication == nil {
                guard replicas.all != [replicas.nodeId] else { return }
                replication = LeaderReplication(
                    nodeId: replicas.nodeId, replicas: replicas.all, inSync: replicas.inSync,
                    partitionEpoch: replicas.partitionEpoch, localOffset: highWatermark, logEnd: end,
                    highWatermark: highWatermark, now: now)
                replication?.localAdvanced(to: waitsForSync.load(ordering: .relaxed) ? log.durableOffset : end)
                isReplicated.store(true, ordering: .sequentiallyConsistent)
            } else {
                replication?.holds(
                    replicas: replicas.all, inSync: replicas.inSync, partitionEpoch: replicas.partitionEpoch, now: now)
            }
            inSync.store(replication?.inSync.count ?? 1, ordering: .relaxed)
        }
    }

    private func localAdvanced(to offset: Int64) {
        if isReplicated.load(ordering: .sequentiallyConsistent) {
            change { $0?.localAdvanced(to: offset) }
        } else {
            advance(to: offset)
        }
    }

    private func change<Result>(_ body: (inout LeaderReplication?) -> Result) -> Result {
        let (result, reached) = replication.withLock { replication in
            (body(&replication), replication?.highWatermark)
        }
        if let reached, reached > highWatermark { advance(to: reached) }
        return result
    }
}
