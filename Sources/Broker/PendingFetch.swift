import CommitLog
import KafkaProtocol
import Replication

/// A fetch from its request to its reply, which may have to wait for `min_bytes`. Confined to its connection's loop.
final class PendingFetch {
    private let request: FetchRequest
    private let version: Int16
    private let correlationId: Int32
    private let partitions: [FetchPartition]
    private let session: FetchSession?
    private let isIncremental: Bool
    private let start: Int64
    private var waitingAt: [PartitionLeader] = []

    init(
        request: FetchRequest, version: Int16, correlationId: Int32, partitions: [FetchPartition],
        session: FetchSession?, isIncremental: Bool, start: Int64
    ) {
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
        if isEnough(results) {
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
    func retry(connection: Connection, slot: UInt64, isLastTry: Bool) {
        stopWaiting(connection: connection, slot: slot)
        let loop = connection.loop
        let results = read(loop)
        guard isLastTry || isEnough(results) else {
            wait(results, connection: connection, slot: slot)
            return
        }
        var buffer = ReplyBuffer()
        encode(results, into: &buffer, loop: loop)
        loop.metrics.delayed(.fetch, nanoseconds: loop.broker.clock.monotonicNanoseconds - start)
        connection.complete(slot, with: buffer)
    }

    func stopWaiting(connection: Connection, slot: UInt64) {
        for leader in waitingAt { leader.stopWaiting(connection.loop, connection: connection.id, slot: slot) }
        waitingAt.removeAll(keepingCapacity: true)
    }

    private func wait(_ results: [Result], connection: Connection, slot: UInt64) {
        for (index, result) in results.enumerated() {
            guard let leader = result.leader else { continue }
            let waiter = PartitionWaiter(
                offset: result.highWatermark + 1, listener: connection.loop, connection: connection.id, slot: slot,
                index: Int32(index))
            switch leader.wait(waiter) {
            case .waiting: waitingAt.append(leader)
            case .reached:
                // It moved on in the meantime.
                connection.loop.wake(waiter, failed: false)
                return
            case .failed:
                // The next read says why; nothing moves here any more, so only the deadline ends the wait.
                continue
            }
        }
    }

    // MARK: Reading

    private struct Result {
        var partition: FetchPartition
        var error = ErrorCode.none
        var leader: PartitionLeader?
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

    private var committedOnly: Bool { request.isolationLevel == 1 }

    private func isEnough(_ results: [Result]) -> Bool {
        if request.maxWaitMs <= 0 || results.isEmpty { return true }
        var bytes = 0
        for result in results {
            if result.error != .none || result.divergingEpoch != nil { return true }
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
            if let leader = topic?.leader(of: partition.partition) {
                read(
                    leader, into: &result, maxBytes: min(Int(max(0, partition.maxBytes)), budget),
                    needsOneBatch: needsOneBatch)
                if let slice = result.slice, slice.length > 0 {
                    budget = max(0, budget - slice.length)
                    needsOneBatch = false
                }
            } else {
                result.error = version >= 13 && topic == nil ? .unknownTopicId : .unknownTopicOrPartition
            }
            results.append(result)
        }
        return results
    }

    private func read(_ leader: PartitionLeader, into result: inout Result, maxBytes: Int, needsOneBatch: Bool) {
        let partition = result.partition
        result.error = ErrorCode(leaderEpoch: partition.currentLeaderEpoch, of: leader)
        guard result.error == .none else { return }
        result.leader = leader
        let log = leader.log
        result.highWatermark = leader.highWatermark
        result.lastStableOffset = min(result.highWatermark, log.lastStableOffset)
        result.logStartOffset = log.startOffset
        if partition.lastFetchedEpoch >= 0 {
            guard let end = leader.end(ofEpoch: partition.lastFetchedEpoch) else {
                result.refuse(.offsetOutOfRange)
                return
            }
            if end.epoch < partition.lastFetchedEpoch || end.offset < partition.fetchOffset {
                result.divergingEpoch = (end.epoch, end.offset)
                return
            }
        }
        let end = committedOnly ? result.lastStableOffset : result.highWatermark
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
        }
    }

    // MARK: Replying

    private func encode(_ results: [Result], into buffer: inout ReplyBuffer, loop: BrokerLoop) {
        let told = isIncremental ? results.filter(isNews) : results
        let flexible = version >= FetchRequest.firstFlexibleVersion
        let frame = buffer.beginFrame(correlationId: correlationId, flexibleHeader: flexible)
        buffer.writer.write(Int32(0))  // throttle time
        if version >= 7 {
            buffer.writer.write(ErrorCode.none.rawValue)
            buffer.writer.write(session?.id ?? 0)
        }
        // Consecutive partitions of a topic stand under one name.
        var runs: [Range<Int>] = []
        for index in told.indices {
            if let last = runs.last, told[last.lowerBound].partition.topicName == told[index].partition.topicName,
                told[last.lowerBound].partition.topicId == told[index].partition.topicId
            {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        buffer.writer.arrayCount(runs.count, flexible: flexible)
        var bytes = 0
        for run in runs {
            let partition = told[run.lowerBound].partition
            if version >= 13 {
                buffer.writer.write(partition.topicId)
            } else {
                buffer.writer.string(partition.topicName, flexible: flexible)
            }
            buffer.writer.arrayCount(run.count, flexible: flexible)
            for result in told[run] {
                encode(result, into: &buffer, flexible: flexible)
                bytes += result.slice?.length ?? 0
                if result.error != .none { loop.metrics.failed(.fetch, result.error) }
            }
            if flexible { buffer.writer.noTaggedFields() }
        }
        if flexible { buffer.writer.noTaggedFields() }
        buffer.endFrame(frame)
        loop.metrics.sent(bytes: bytes)
        remember(told)
    }

    private func encode(_ result: Result, into buffer: inout ReplyBuffer, flexible: Bool) {
        buffer.writer.write(result.partition.partition)
        buffer.writer.write(result.error.rawValue)
        buffer.writer.write(result.highWatermark)
        buffer.writer.write(result.lastStableOffset)
        if version >= 5 { buffer.writer.write(result.logStartOffset) }
        if committedOnly && result.slice != nil {
            buffer.writer.arrayCount(result.aborted.count, flexible: flexible)
            for transaction in result.aborted {
                buffer.writer.write(transaction.producerId)
                buffer.writer.write(transaction.firstOffset)
                if flexible { buffer.writer.noTaggedFields() }
            }
        } else {
            buffer.writer.arrayCount(-1, flexible: flexible)
        }
        if version >= 11 { buffer.writer.write(Int32(-1)) }  // preferred read replica
        let slice = result.slice
        let length = slice?.length ?? 0
        if flexible {
            buffer.writer.unsignedVarint(UInt32(length + 1))
        } else {
            buffer.writer.write(Int32(length))
        }
        if let slice { buffer.append(slice) }
        guard flexible else { return }
        var tagged = TaggedFieldsWriter()
        if let diverging = result.divergingEpoch {
            var field = FetchResponse.EpochEndOffset()
            field.epoch = diverging.epoch
            field.endOffset = diverging.endOffset
            var writer = ByteWriter()
            field.encode(to: &writer, version: version)
            tagged.append(0, writer)
        }
        buffer.writer.taggedFields(tagged)
    }

    /// Whether an incremental reply must carry the partition.
    private func isNews(_ result: Result) -> Bool {
        result.error != .none || result.divergingEpoch != nil || (result.slice?.length ?? 0) > 0
            || result.partition.wasToldAnError || result.highWatermark != result.partition.knownHighWatermark
            || result.logStartOffset != result.partition.knownLogStartOffset
    }

    private func remember(_ told: [Result]) {
        guard let session else { return }
        var withData = Set<FetchPartitionKey>()
        let partitions = told.map { result in
            var partition = result.partition
            partition.knownHighWatermark = result.highWatermark
            partition.knownLogStartOffset = result.logStartOffset
            partition.wasToldAnError = result.error != .none
            if (result.slice?.length ?? 0) > 0 { withData.insert(partition.key) }
            return partition
        }
        session.state.withLock { $0.answered(partitions, withData: withData) }
    }
}
