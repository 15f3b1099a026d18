import KafkaProtocol

extension Admin {
    /// What a group has committed, by partition. Partitions without an offset are left out; nil asks for all.
    public func committedOffsets(
        of group: String, partitions: [TopicPartition]? = nil
    ) async throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        try await committedOffsets(of: group, partitions: partitions, isForConsumer: false)
    }

    /// For a consumer that begins with them: waits for the end of transactions that commit offsets (KIP-447), and throws
    /// where a partition has an error instead of leaving it out.
    package func committedOffsets(
        of group: String, partitions: [TopicPartition]?, isForConsumer: Bool
    ) async throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        let connection = try await cluster.retrying { () async throws(ClientError) in
            try await cluster.connection(.coordinator(group: group))
        }
        let asked = partitions.map { Dictionary(grouping: $0, by: \.topic) }
        var request = OffsetFetchRequest()
        let version = connection.version(of: OffsetFetchRequest.self) ?? 0
        request.requireStable = isForConsumer && version >= 7
        // From version 8 on several groups, from 10 on topics by id.
        if version >= 8 {
            var entry = OffsetFetchRequest.OffsetFetchRequestGroup()
            entry.groupId = group
            entry.topics = asked?.map { name, partitions in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
            request.groups = [entry]
        } else {
            request.groupId = group
            request.topics = asked?.map { name, partitions in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
        }
        let response = try await cluster.call(
            request, .coordinator(group: group), maximumVersion: 9
        ) { response in
            let codes = [response.groups.first?.errorCode ?? response.errorCode]
            let ofPartitions =
                (response.groups.first?.topics ?? []).flatMap { $0.partitions.map(\.errorCode) }
                + response.topics.flatMap { $0.partitions.map(\.errorCode) }
            return (codes + (isForConsumer ? ofPartitions : [])).lazy.compactMap {
                ClientError.from($0, "group '\(group)'")
            }.first
        }
        var offsets: [TopicPartition: ConsumedOffset] = [:]
        for topic in response.groups.first?.topics ?? [] {
            for entry in topic.partitions where entry.errorCode == 0 && entry.committedOffset >= 0 {
                offsets[TopicPartition(topic.name, entry.partitionIndex)] = ConsumedOffset(
                    entry.committedOffset,
                    leaderEpoch: entry.committedLeaderEpoch >= 0 ? entry.committedLeaderEpoch : nil,
                    metadata: entry.metadata.flatMap { $0.isEmpty ? nil : $0 })
            }
        }
        for topic in response.topics {
            for entry in topic.partitions where entry.errorCode == 0 && entry.committedOffset >= 0 {
                offsets[TopicPartition(topic.name, entry.partitionIndex)] = ConsumedOffset(
                    entry.committedOffset,
                    leaderEpoch: entry.committedLeaderEpoch >= 0 ? entry.committedLeaderEpoch : nil,
                    metadata: entry.metadata.flatMap { $0.isEmpty ? nil : $0 })
            }
        }
        return offsets
    }

    /// Sets offsets of a group that has no members; in a group with members all fail with UNKNOWN_MEMBER_ID.
    public func alterOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], of group: String
    ) async throws(ClientError) -> Results<TopicPartition, Void> {
        let cluster = cluster
        return try await batched(offsets.keys, along: .coordinator(group: group)) { open async throws(ClientError) in
            var request = OffsetCommitRequest()
            request.groupId = group
            request.generationIdOrMemberEpoch = -1
            request.topics = Dictionary(grouping: open, by: \.topic).map { name, partitions in
                var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = OffsetCommitRequest.OffsetCommitRequestPartition()
                    entry.partitionIndex = partition.partition
                    entry.committedOffset = offsets[partition]!.offset
                    entry.committedLeaderEpoch = offsets[partition]!.leaderEpoch ?? -1
                    entry.committedMetadata = offsets[partition]!.metadata
                    return entry
                }
                return topic
            }
            let response = try await cluster.connection(.coordinator(group: group)).send(request, maximumVersion: 9)
            var results: Results<TopicPartition, Void> = [:]
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "group '\(group)', \(partition)"), ())
                }
            }
            return results
        }
    }

    /// Deletes what a group has committed of partitions. Those that a member has subscribed to fail with
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    public func deleteOffsets(
        of partitions: [TopicPartition], group: String
    ) async throws(ClientError) -> Results<TopicPartition, Void> {
        let cluster = cluster
        return try await batched(partitions, along: .coordinator(group: group)) { open async throws(ClientError) in
            var request = OffsetDeleteRequest()
            request.groupId = group
            request.topics = Dictionary(grouping: open, by: \.topic).map { name, partitions in
                var topic = OffsetDeleteRequest.OffsetDeleteRequestTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = OffsetDeleteRequest.OffsetDeleteRequestPartition()
                    entry.partitionIndex = partition.partition
                    return entry
                }
                return topic
            }
            let response = try await cluster.connection(.coordinator(group: group)).send(request)
            if let error = ClientError.from(response.errorCode, "group '\(group)'") { throw error }
            var results: Results<TopicPartition, Void> = [:]
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "group '\(group)', \(partition)"), ())
                }
            }
            return results
        }
    }
}
