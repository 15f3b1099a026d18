import KafkaProtocol

/// A place in a partition that a broker can find.
public enum OffsetPosition: Sendable, Hashable {
    /// The first record that is still there.
    case earliest
    /// The offset after the last record that consumers may see.
    case latest
    /// The first record at or after a time, in milliseconds since the epoch.
    case timestamp(Int64)
    /// The record with the latest timestamp, which need not be the last one (KIP-734).
    case maximumTimestamp

    var wireTimestamp: Int64 {
        switch self {
        case .earliest: -2
        case .latest: -1
        case .maximumTimestamp: -3
        case .timestamp(let milliseconds): milliseconds
        }
    }
}

/// Where a record is that was looked for.
public struct ListedOffset: Sendable, Hashable {
    /// -1 when there is no such record.
    public let offset: Int64
    /// Of the record, in milliseconds since the epoch; -1 when none was looked for.
    public let timestamp: Int64
    /// The leader's epoch of the record; nil when it is not known.
    public let leaderEpoch: Int32?
}

extension Admin {
    /// Looks for a place in each partition. With `committedOnly`, `latest` is the last stable offset: before the first
    /// open transaction.
    public func offsets(
        at positions: [TopicPartition: OffsetPosition], committedOnly: Bool = false
    ) async throws(ClientError) -> Results<TopicPartition, ListedOffset> {
        try await atLeaders(positions.keys) { connection, partitions async throws(ClientError) in
            var request = ListOffsetsRequest()
            request.replicaId = -1
            request.isolationLevel = committedOnly ? 1 : 0
            request.topics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = ListOffsetsRequest.ListOffsetsTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = ListOffsetsRequest.ListOffsetsPartition()
                    entry.partitionIndex = partition.partition
                    entry.timestamp = positions[partition]!.wireTimestamp
                    return entry
                }
                return topic
            }
            let response = try await connection.send(request)
            var results: Results<TopicPartition, ListedOffset> = [:]
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "\(partition)"),
                        ListedOffset(
                            offset: entry.offset, timestamp: entry.timestamp,
                            leaderEpoch: entry.leaderEpoch >= 0 ? entry.leaderEpoch : nil))
                }
            }
            return results
        }
    }

    /// The same place in each partition. Throws the first failure.
    public func offsets(
        of partitions: some Collection<TopicPartition> & Sendable, at position: OffsetPosition,
        committedOnly: Bool = false
    ) async throws(ClientError) -> [TopicPartition: ListedOffset] {
        let results = try await offsets(
            at: Dictionary(partitions.map { ($0, position) }) { $1 }, committedOnly: committedOnly)
        var found: [TopicPartition: ListedOffset] = [:]
        for (partition, result) in results { found[partition] = try result.get() }
        return found
    }
}
