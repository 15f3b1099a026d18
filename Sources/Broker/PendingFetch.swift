import CommitLog
import KafkaProtocol
import Replication

/// A fetch from its request to its reply, which may have to wait for `min_bytes`. Confined to its connection's loop.
final class PendingFetch {
    private let request: FetchRequest
    let version: Int16
    let correlationId: Int32
    private let partitions: [FetchPartition]
    let session: FetchSession?
    let isIncremental: Bool
    private let start: Int64
    let listener: String
    /// The follower that asks; nil for a consumer.
    private let replica: (id: Int32, epoch: Int64)?
    private var waitingAt: [ReadablePartition] = []
    /// What a follower has it says once, with its request.
    private var isFirstRead = true
    /// Its loop holds it back for more.
    var isGathering = false
    var isReplicas: Bool { replica != nil }

    init(
        request: FetchRequest, version: Int16, correlationId: Int32, partitions: [FetchPartition],
        session: FetchSession?, isIncremental: Bool, start: Int64, listener: String
    ) {
        self.listener = listener
        let replicaId = version >= 15 ? request.replicaState.replicaId : request.replicaId
        replica = replicaId >= 0 ? (replicaId, version >= 15 ? request.replicaState.replicaEpoch : -1) : nil
        self.request = request
        self.version = version
        self.correlationId = correlationId
        self.partitions = partitions
        self.session = session
        self.isIncremental = isIncremental
        self.start = start
    }

    /// Answers at once, or waits.
    func begin(_ context: RequestContext) {
        let results = read(context.loop)
        if isEnough(results, context.loop) {
            context.loop.metrics.immediate(.fetch, error: .none)
            context.connection.reply { encode(results, into: &$0, loop: context.loop) }
            return
        }
        let slot = context.connection.reserve(.fetch(self))
        context.loop.setDeadline(
            start + Int64(request.maxWaitMs) * 1_000_000, connection: context.connection.id, slot: slot)
        wait(results, connection: context.connection, slot: slot)
    }

    /// After a partition moved on, or on the last try when the time is up.
    func retry(connection: Connection, slot: UInt64, isLastTry: Bool = false) {
        isGathering = false
        stopWaiting(connection: connection, slot: slot)
        let loop = connection.loop
        let results = read(loop)
        guard isLastTry || isEnough(results, loop) else {
            wait(results, connection: connection, slot: slot)
            return
        }
        var buffer = ReplyBuffer()
        encode(results, into: &buffer, loop: loop)
        loop.metrics.delayed(.fetch, nanoseconds: loop.broker.clock.monotonicNanoseconds - start)
        connection.complete(slot, with: buffer)
    }

    func stopWaiting(connection: Connection, slot: UInt64) {
        for source in waitingAt { source.stopWaiting(connection.loop, connection: connection.id, slot: slot) }
        waitingAt.removeAll(keepingCapacity: true)
    }

    private func wait(_ results: [Result], connection: Connection, slot: UInt64) {
        for (index, result) in results.enumerated() {
            guard let source = result.source else { continue }
            let waiter = PartitionWaiter(
                offset: result.readUpTo + 1, listener: connection.loop, connection: connection.id, slot: slot,
                index: Int32(index))
            var outcome: PartitionLeader.WaitOutcome
            if replica != nil, case .leader(let leader) = source {
                outcome = leader.waitForAppend(waiter)
                if outcome == .waiting, showsWatermark(connection.loop) {
                    let moved = PartitionWaiter(
                        offset: result.highWatermark + 1, listener: connection.loop, connection: connection.id,
                        slot: slot, index: Int32(index))
                    waitingAt.append(source)
                    outcome = leader.wait(moved)
                }
            } else {
                outcome = source.wait(waiter)
            }
            switch outcome {
            case .waiting: waitingAt.append(source)
            case .over(.reached), .over(.reachedWithTooFewReplicas):
                // It moved on in the meantime.
                connection.loop.wake(waiter, .reached)
                return
            case .over(.notLeader):
                // Another leads, which this loop sees with its next turn.
                let loop = connection.loop
                loop.port.execute { loop.wake(waiter, .reached) }
                return
            case .over(.failed):
                // The next read says why; nothing moves here any more, so only the deadline ends the wait.
                continue
            }
        }
    }

    // MARK: Reading

    struct Result {
        var partition: FetchPartition
        var error = ErrorCode.none
        var source: ReadablePartition?
        /// The end of what this reader is given.
        var readUpTo: Int64 = -1
        var preferredReplica: Int32 = -1
        var highWatermark: Int64 = -1
        var lastStableOffset: Int64 = -1
        var logStartOffset: Int64 = -1
        var divergingEpoch: (epoch: Int32, endOffset: Int64)?
        var slice: LogSlice?
        var aborted: [AbortedTransaction] = []

        /// Kafka tells no offsets with an offset that is out of range.
        mutating func refuse(_ code: ErrorCode) {
            error = code
            guard code == .offsetOutOfRange else { return }
            highWatermark = -1
            lastStableOffset = -1
            logStartOffset = -1
        }
    }

    var committedOnly: Bool { request.isolationLevel == 1 }

    /// Where consumers read from followers, these are told at once how far they may show what they have.
    private func showsWatermark(_ loop: BrokerLoop) -> Bool { loop.broker.limits.selectsReplicaByRack }

    private func isEnough(_ results: [Result], _ loop: BrokerLoop) -> Bool {
        if request.maxWaitMs <= 0 || results.isEmpty { return true }
        var bytes = 0
        for result in results {
            if replica != nil, session != nil, result.highWatermark > result.partition.knownHighWatermark,
                showsWatermark(loop)
            {
                return true
            }
            if result.error != .none || result.divergingEpoch != nil || result.preferredReplica >= 0 { return true }
            guard let slice = result.slice, slice.length > 0 else { continue }
            // More follows in the next segment, for which the consumer must ask anew.
            if slice.isFromClosedSegment { return true }
            bytes += slice.length
        }
        return bytes >= min(Int(request.minBytes), max(1, Int(request.maxBytes)))
    }

    private func read(_ loop: BrokerLoop) -> [Result] {
        let topics = loop.topics
        var budget = min(Int(max(0, request.maxBytes)), loop.broker.limits.fetchBytes)
        // One batch is returned even if it is larger than the limits, or the consumer would never get past it.
        var needsOneBatch = true
        var results: [Result] = []
        results.reserveCapacity(partitions.count)
        for partition in partitions {
            var result = Result(partition: partition)
            let topic =
                version >= 13
                ? topics.topic(withId: partition.topicId) : topics.topic(named: partition.topicName)
            if let source = ReadablePartition(
                topic, partition.partition, includingFollowers: replica == nil && version >= 11)
            {
                read(
                    source, loop, into: &result, maxBytes: min(Int(max(0, partition.maxBytes)), budget),
                    needsOneBatch: needsOneBatch)
                if replica != nil { throttle(&result, topic, loop) }
                if let slice = result.slice, slice.length > 0 {
                    budget = max(0, budget - slice.length)
                    needsOneBatch = false
                }
            } else if let topic {
                result.error = topic.refusal(of: partition.partition)
            } else if isInMetadata(partition, loop) {
                // Its partitions are about to be opened here.
                result.error = .notLeaderOrFollower
            } else {
                result.error = version >= 13 ? .unknownTopicId : .unknownTopicOrPartition
            }
            results.append(result)
        }
        isFirstRead = false
        return results
    }

    private func read(
        _ source: ReadablePartition, _ loop: BrokerLoop, into result: inout Result, maxBytes: Int, needsOneBatch: Bool
    ) {
        let partition = result.partition
        result.error = ErrorCode(leaderEpoch: partition.currentLeaderEpoch, of: source)
        guard result.error == .none else { return }
        result.source = source
        let log = source.log
        // Before the watermark, which the follower's progress may move.
        let logEnd = log.endOffset
        result.readUpTo = logEnd
        if let replica, isFirstRead, let leader = source.leader, !diverges(partition, source, into: &result) {
            guard partition.fetchOffset <= logEnd,
                leader.fetched(
                    by: replica.id, brokerEpoch: replica.epoch, from: partition.fetchOffset,
                    now: loop.broker.clock.monotonicMilliseconds)
            else {
                result.refuse(partition.fetchOffset <= logEnd ? .notLeaderOrFollower : .offsetOutOfRange)
                result.logStartOffset = log.startOffset
                return
            }
        }
        result.highWatermark = source.highWatermark
        result.lastStableOffset = min(result.highWatermark, log.lastStableOffset)
        result.logStartOffset = log.startOffset
        if result.divergingEpoch != nil || diverges(partition, source, into: &result) { return }
        if let leader = source.leader, let closer = closerReplica(leader, from: partition.fetchOffset, loop) {
            result.preferredReplica = closer
            return
        }
        let end: Int64
        if replica != nil {
            end = logEnd
        } else {
            end = committedOnly ? result.lastStableOffset : result.highWatermark
            result.readUpTo = result.highWatermark
        }
        if case .follower = source, partition.fetchOffset > end {
            // The leader may have more; this replica does not know yet.
            result.refuse(.offsetNotAvailable)
            return
        }
        // Nothing new, the common case of a consumer that keeps up.
        if partition.fetchOffset == end && end >= result.logStartOffset { return }
        if partition.fetchOffset > end && partition.fetchOffset <= log.endOffset { return }
        do {
            let slice = try log.read(
                from: partition.fetchOffset, maxBytes: maxBytes, minOneBatch: needsOneBatch, upTo: end)
            result.slice = slice
            if committedOnly && slice.length > 0 {
                result.aborted = log.abortedTransactions(
                    from: partition.fetchOffset, to: min(end, slice.followingOffset ?? end))
            }
        } catch {
            result.refuse(ErrorCode(error))
            // A follower begins there.
            if replica != nil { result.logStartOffset = log.startOffset }
        }
    }

    private func isInMetadata(_ partition: FetchPartition, _ loop: BrokerLoop) -> Bool {
        let image = loop.broker.cluster.image
        return version >= 13
            ? image.topicNames[partition.topicId] != nil : image.topics[partition.topicName] != nil
    }

    /// A replica that is moved gets nothing for now when the others' share is used up (KIP-73).
    private func throttle(_ result: inout Result, _ topic: Topic?, _ loop: BrokerLoop) {
        let partition = result.partition.partition
        guard let slice = result.slice, slice.length > 0, let replica, let topic, !topic.throttled.leaders.isEmpty,
            topic.throttled.leaders.contains(partition: partition, broker: loop.broker.cluster.nodeId),
            let partitions = loop.broker.cluster.image.topic(named: topic.name)?.partitions,
            partitions.indices.contains(Int(partition)),
            !partitions[Int(partition)].inSyncReplicas.contains(replica.id)
        else { return }
        let rate = loop.broker.configuration.long("leader.replication.throttled.rate")
        let now = loop.broker.clock.monotonicMilliseconds
        if loop.broker.leaderThrottle.delay(rate: rate, now: now) > 0 {
            result.slice = nil
        } else {
            loop.broker.leaderThrottle.passed(bytes: slice.length, rate: rate, now: now)
        }
    }

    /// Whether the reader's records are others than the leader's (KIP-595), or from a time that nobody knows any more.
    private func diverges(
        _ partition: FetchPartition, _ source: ReadablePartition, into result: inout Result
    ) -> Bool {
        guard partition.lastFetchedEpoch >= 0 else { return false }
        // It is of this log's last epoch, and there is nothing of a later one: the common case, without a lock.
        if partition.lastFetchedEpoch == source.log.latestEpoch, partition.fetchOffset <= source.log.endOffset {
            return false
        }
        guard let end = source.end(ofEpoch: partition.lastFetchedEpoch) else {
            result.refuse(.offsetOutOfRange)
            if replica != nil { result.logStartOffset = source.log.startOffset }
            return true
        }
        guard end.epoch < partition.lastFetchedEpoch || end.offset < partition.fetchOffset else { return false }
        result.divergingEpoch = (end.epoch, end.offset)
        return true
    }

    /// An in-sync replica in the consumer's rack, if this node is not in it and the broker is told to look (KIP-392).
    private func closerReplica(_ leader: PartitionLeader, from offset: Int64, _ loop: BrokerLoop) -> Int32? {
        guard replica == nil, version >= 11, !request.rackId.isEmpty, loop.broker.limits.selectsReplicaByRack else {
            return nil
        }
        let image = loop.broker.cluster.image
        guard image.brokers[loop.broker.cluster.nodeId]?.rack != request.rackId,
            let partitions = image.topic(named: leader.topic)?.partitions,
            partitions.indices.contains(Int(leader.partition))
        else { return nil }
        let followers = leader.followers
        // The one that has most; it must have what is asked for.
        return partitions[Int(leader.partition)].inSyncReplicas.filter { replica in
            image.brokers[replica]?.rack == request.rackId && (followers[replica]?.endOffset ?? -1) >= offset
        }.max { (followers[$0]?.endOffset ?? -1, $1) < (followers[$1]?.endOffset ?? -1, $0) }
    }
}
