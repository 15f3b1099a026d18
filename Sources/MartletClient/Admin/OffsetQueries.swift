import KafkaProtocol

/// A place in a partition that a broker can find.
package enum OffsetPosition: Sendable, Hashable {
    /// The first record that is still there.
    case earliest
    /// The offset after the last record that consumers may see.
    case latest
    /// The first record at or after a time, in milliseconds since the epoch.
    case timestamp(Int64)

    var wireTimestamp: Int64 {
        switch self {
        case .earliest: -2
        case .latest: -1
        case .timestamp(let milliseconds): milliseconds
        }
    }
}

package struct ListedOffset: Sendable, Equatable {
    /// -1 when no record is so late.
    package let offset: Int64
    package let timestamp: Int64
}

extension Administrator {
    /// The offsets of a place in each partition, all at once from each leader. `committedOnly`: the end is where the first
    /// open transaction begins.
    package func offsets(
        of partitions: some Collection<TopicPartition> & Sendable, at position: OffsetPosition,
        committedOnly: Bool = false
    ) async throws(ClientError) -> [TopicPartition: ListedOffset] {
        try await cluster.retrying { () async throws(ClientError) in
            do throws(ClientError) {
                return try await self.offsetsOnce(of: partitions, at: position, committedOnly: committedOnly)
            } catch {
                if error.isRetriable { try await self.cluster.refreshLeaders(of: partitions.map(\.topic)) }
                throw error
            }
        }
    }

    private func offsetsOnce(
        of partitions: some Collection<TopicPartition> & Sendable, at position: OffsetPosition, committedOnly: Bool
    ) async throws(ClientError) -> [TopicPartition: ListedOffset] {
        var byLeader: [Int32: [TopicPartition]] = [:]
        for partition in partitions {
            byLeader[try await cluster.leader(of: partition), default: []].append(partition)
        }
        var result: [TopicPartition: ListedOffset] = [:]
        for (leader, partitions) in byLeader {
            var request = ListOffsetsRequest()
            request.replicaId = -1
            request.isolationLevel = committedOnly ? 1 : 0
            request.topics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = ListOffsetsRequest.ListOffsetsTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = ListOffsetsRequest.ListOffsetsPartition()
                    entry.partitionIndex = partition.partition
                    entry.timestamp = position.wireTimestamp
                    return entry
                }
                return topic
            }
            let response = try await cluster.connection(.node(leader)).send(request)
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    if let error = ClientError.from(entry.errorCode, "\(partition)") { throw error }
                    result[partition] = ListedOffset(offset: entry.offset, timestamp: entry.timestamp)
                }
            }
        }
        if let missing = partitions.first(where: { result[$0] == nil }) {
            throw ClientError(.malformedReply, "the broker's reply says nothing of \(missing)")
        }
        return result
    }
}
