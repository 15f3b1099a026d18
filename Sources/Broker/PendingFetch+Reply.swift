import CommitLog
import KafkaProtocol

/// A fetch's reply: what was read, as the version has it.
extension PendingFetch {
    func encode(_ results: [Result], into buffer: inout ReplyBuffer, loop: BrokerLoop) {
        let told = isIncremental ? results.filter(isNews) : results
        var redirections = LeaderRedirections()
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
                encode(result, into: &buffer, flexible: flexible, &redirections, loop.broker)
                bytes += result.slice?.length ?? 0
                if result.error != .none { loop.metrics.failed(.fetch, result.error) }
            }
            if flexible { buffer.writer.noTaggedFields() }
        }
        if flexible { buffer.writer.taggedFields(redirections.endpoints(listener, loop.broker)) }
        buffer.endFrame(frame)
        loop.metrics.sent(bytes: bytes)
        remember(told)
    }

    private func encode(
        _ result: Result, into buffer: inout ReplyBuffer, flexible: Bool, _ redirections: inout LeaderRedirections,
        _ broker: Broker
    ) {
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
        if version >= 11 { buffer.writer.write(result.preferredReplica) }
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
        if version >= 16, result.error == .notLeaderOrFollower || result.error == .fencedLeaderEpoch {
            let topic = broker.cluster.image.topic(withId: result.partition.topicId)
            if let leader = redirections.leader(topic, result.partition.partition) { tagged.append(1, leader) }
        }
        buffer.writer.taggedFields(tagged)
    }

    /// Whether an incremental reply must carry the partition.
    private func isNews(_ result: Result) -> Bool {
        result.error != .none || result.divergingEpoch != nil || result.preferredReplica >= 0
            || (result.slice?.length ?? 0) > 0
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
