import KafkaProtocol

package struct ListedGroup: Sendable, Equatable {
    package let id: String
    /// "Stable", "Empty", …; empty from brokers that are too old to say.
    package let state: String
    /// "classic" or "consumer"; empty from brokers that are too old to say.
    package let type: String
    /// "consumer" for consumers, other words for other uses of groups.
    package let protocolType: String
}

package struct DescribedGroup: Sendable, Equatable {
    package struct Member: Sendable, Equatable {
        package let id: String
        package let instanceId: String?
        package let clientId: String
        package let host: String
        package let partitions: [TopicPartition]
    }

    package let id: String
    package let state: String
    /// "classic" or "consumer".
    package let type: String
    package let assignor: String
    package let members: [Member]
}

package struct CommittedOffset: Sendable, Equatable {
    package let offset: Int64
    package let metadata: String
    /// The leader's epoch of the record before, when it was committed with the offset.
    package let leaderEpoch: Int32?

    package init(offset: Int64, metadata: String = "", leaderEpoch: Int32? = nil) {
        self.offset = offset
        self.metadata = metadata
        self.leaderEpoch = leaderEpoch
    }
}

extension Administrator {
    /// The groups of all brokers, by id.
    package func groups() async throws(ClientError) -> [ListedGroup] {
        try await cluster.refreshMetadata(of: [])
        var groups: [String: ListedGroup] = [:]
        for broker in await cluster.view.brokers.keys.sorted() {
            let response = try await cluster.call(ListGroupsRequest(), .node(broker)) { response in
                ClientError.from(response.errorCode, "groups of broker \(broker)")
            }
            for group in response.groups {
                groups[group.groupId] = ListedGroup(
                    id: group.groupId, state: group.groupState, type: group.groupType.lowercased(),
                    protocolType: group.protocolType)
            }
        }
        return groups.values.sorted { $0.id < $1.id }
    }

    /// A group and its members. Throws `refused` with GROUP_ID_NOT_FOUND when there is none.
    package func describeGroup(_ id: String) async throws(ClientError) -> DescribedGroup {
        let connection = try await cluster.retrying { () async throws(ClientError) in
            try await self.cluster.connection(.coordinator(group: id))
        }
        if connection.version(of: ConsumerGroupDescribeRequest.self) != nil {
            do throws(ClientError) {
                return try await describeConsumerGroup(id)
            } catch  where error.protocolCode == .groupIdNotFound || error.protocolCode == .unsupportedVersion {
                // It is not one of the new protocol, so ask as for a classic group.
            }
        }
        return try await describeClassicGroup(id)
    }

    private func describeConsumerGroup(_ id: String) async throws(ClientError) -> DescribedGroup {
        var request = ConsumerGroupDescribeRequest()
        request.groupIds = [id]
        let response = try await cluster.call(request, .coordinator(group: id)) { response in
            guard let group = response.groups.first else { return .missing(id) }
            return ClientError.from(group.errorCode, "group '\(id)'", message: group.errorMessage)
        }
        let group = response.groups[0]
        return DescribedGroup(
            id: id, state: group.groupState, type: "consumer", assignor: group.assignorName,
            members: group.members.map { member in
                DescribedGroup.Member(
                    id: member.memberId, instanceId: member.instanceId, clientId: member.clientId,
                    host: member.clientHost,
                    partitions: member.assignment.topicPartitions.flatMap { topic in
                        topic.partitions.map { TopicPartition(topic.topicName, $0) }
                    }.sorted())
            })
    }

    private func describeClassicGroup(_ id: String) async throws(ClientError) -> DescribedGroup {
        var request = DescribeGroupsRequest()
        request.groups = [id]
        let response = try await cluster.call(request, .coordinator(group: id)) { response in
            guard let group = response.groups.first else { return .missing(id) }
            return ClientError.from(group.errorCode, "group '\(id)'")
        }
        let group = response.groups[0]
        // Before version 6 a group that does not exist is a dead one.
        if group.groupState == "Dead" { throw .refused(.groupIdNotFound, "group '\(id)'") }
        return DescribedGroup(
            id: id, state: group.groupState, type: "classic", assignor: group.protocolData,
            members: try group.members.map { member throws(ClientError) in
                DescribedGroup.Member(
                    id: member.memberId, instanceId: member.groupInstanceId, clientId: member.clientId,
                    host: member.clientHost,
                    partitions: group.protocolType == "consumer"
                        ? try ConsumerProtocol.assignment(member.memberAssignment) : [])
            })
    }

    /// What a group has committed, by partition. Partitions without an offset are left out.
    package func committedOffsets(
        of group: String, partitions: [TopicPartition]? = nil
    ) async throws(ClientError) -> [TopicPartition: CommittedOffset] {
        let connection = try await cluster.retrying { () async throws(ClientError) in
            try await self.cluster.connection(.coordinator(group: group))
        }
        let asked = partitions.map { Dictionary(grouping: $0, by: \.topic) }
        var request = OffsetFetchRequest()
        // From version 8 on several groups, from 10 on topics by id.
        if (connection.version(of: OffsetFetchRequest.self) ?? 0) >= 8 {
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
            ClientError.from(response.groups.first?.errorCode ?? response.errorCode, "group '\(group)'")
        }
        var offsets: [TopicPartition: CommittedOffset] = [:]
        if let answer = response.groups.first {
            for topic in answer.topics {
                for entry in topic.partitions where entry.errorCode == 0 && entry.committedOffset >= 0 {
                    offsets[TopicPartition(topic.name, entry.partitionIndex)] = CommittedOffset(
                        offset: entry.committedOffset, metadata: entry.metadata ?? "",
                        leaderEpoch: entry.committedLeaderEpoch < 0 ? nil : entry.committedLeaderEpoch)
                }
            }
        }
        for topic in response.topics {
            for entry in topic.partitions where entry.errorCode == 0 && entry.committedOffset >= 0 {
                offsets[TopicPartition(topic.name, entry.partitionIndex)] = CommittedOffset(
                    offset: entry.committedOffset, metadata: entry.metadata ?? "",
                    leaderEpoch: entry.committedLeaderEpoch < 0 ? nil : entry.committedLeaderEpoch)
            }
        }
        return offsets
    }

    /// Sets offsets of a group without members. Throws `refused`.
    package func commitOffsets(_ offsets: [TopicPartition: Int64], group: String) async throws(ClientError) {
        try await commitOffsets(offsets.mapValues { ConsumedOffset($0) }, group: group)
    }

    /// Sets offsets of a group without members, or as one of its members. Throws `refused`.
    package func commitOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], group: String, memberId: String = "", generation: Int32 = -1,
        instanceId: String? = nil
    ) async throws(ClientError) {
        guard !offsets.isEmpty else { return }
        var request = OffsetCommitRequest()
        request.groupId = group
        request.memberId = memberId
        request.generationIdOrMemberEpoch = generation
        request.groupInstanceId = instanceId
        request.topics = Dictionary(grouping: offsets, by: \.key.topic).map { name, entries in
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            topic.name = name
            topic.partitions = entries.map { partition, offset in
                var entry = OffsetCommitRequest.OffsetCommitRequestPartition()
                entry.partitionIndex = partition.partition
                entry.committedOffset = offset.offset
                entry.committedLeaderEpoch = offset.leaderEpoch ?? -1
                entry.committedMetadata = offset.metadata ?? ""
                return entry
            }
            return topic
        }
        _ = try await cluster.call(request, .coordinator(group: group), maximumVersion: 9) { response in
            for topic in response.topics {
                for entry in topic.partitions {
                    let subject = "group '\(group)', \(topic.name)-\(entry.partitionIndex)"
                    if let error = ClientError.from(entry.errorCode, subject) { return error }
                }
            }
            return nil
        }
    }

    /// Deletes a group and its offsets. Throws `refused` when it has members.
    package func deleteGroup(_ id: String) async throws(ClientError) {
        var request = DeleteGroupsRequest()
        request.groupsNames = [id]
        _ = try await cluster.call(request, .coordinator(group: id), isRepeatable: false) { response in
            guard let result = response.results.first else { return .missing(id) }
            return ClientError.from(result.errorCode, "group '\(id)'")
        }
    }
}

extension ClientError {
    fileprivate static func missing(_ group: String) -> ClientError {
        ClientError(.malformedReply, "the broker's reply says nothing of group '\(group)'")
    }
}
