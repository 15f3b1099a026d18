import KafkaProtocol

/// What happens to the state with each kind of record, whether it was just written or is read from the log. A tombstone
/// of something unknown is no error: compaction keeps tombstones for a while after what they delete.
extension ConsumerGroup {
    mutating func write(_ record: GroupRecord, _ effects: inout GroupEffects) {
        apply(record)
        effects.records.append(record)
    }

    mutating func apply(_ record: GroupRecord) {
        switch record {
        case .consumerGroupMetadata(_, let value):
            groupEpoch = value?.epoch ?? 0
        case .consumerGroupPartitionMetadata(_, let value):
            subscriptionMetadata = [:]
            for topic in value?.topics ?? [] {
                subscriptionMetadata[topic.topicName] = TopicMetadata(
                    id: topic.topicId, partitionCount: topic.numPartitions)
            }
        case .consumerGroupMemberMetadata(let key, let value):
            applyMemberMetadata(key.memberId, value)
        case .consumerGroupTargetAssignmentMetadata(_, let value):
            assignmentEpoch = value?.assignmentEpoch ?? 0
        case .consumerGroupTargetAssignmentMember(let key, let value):
            targetAssignment[key.memberId] = value.map { value in
                TopicPartitionSet(value.topicPartitions.map { ($0.topicId, $0.partitions) })
            }
        case .consumerGroupCurrentMemberAssignment(let key, let value):
            applyCurrentAssignment(key.memberId, value)
        case .offsetCommit, .groupMetadata:
            preconditionFailure("not a record of a consumer group")
        }
    }

    private mutating func applyMemberMetadata(_ memberId: String, _ value: ConsumerGroupMemberMetadataValue?) {
        guard let value else {
            removeMember(memberId)
            return
        }
        var member = members[memberId] ?? ConsumerGroupMember(memberId: memberId)
        member.instanceId = value.instanceId
        member.rackId = value.rackId
        member.clientId = value.clientId
        member.clientHost = value.clientHost
        member.subscribedTopicNames = Set(value.subscribedTopicNames).sorted()
        member.subscribedTopicRegex = value.subscribedTopicRegex.flatMap { $0.isEmpty ? nil : $0 }
        member.rebalanceTimeoutMs = value.rebalanceTimeoutMs
        member.serverAssignor = value.serverAssignor
        set(member)
    }

    private mutating func applyCurrentAssignment(
        _ memberId: String, _ value: ConsumerGroupCurrentMemberAssignmentValue?
    ) {
        guard let value else {
            guard var member = members[memberId] else { return }
            // The member itself ends with its metadata's tombstone.
            member.memberEpoch = 0
            member.previousMemberEpoch = 0
            member.state = .stable
            member.assignedPartitions = .empty
            member.partitionsPendingRevocation = .empty
            set(member)
            return
        }
        var member = members[memberId] ?? ConsumerGroupMember(memberId: memberId)
        member.memberEpoch = value.memberEpoch
        member.previousMemberEpoch = value.previousMemberEpoch
        member.state = ConsumerMemberState(stored: value.state)
        member.assignedPartitions = TopicPartitionSet(value.assignedPartitions.map { ($0.topicId, $0.partitions) })
        member.partitionsPendingRevocation = TopicPartitionSet(
            value.partitionsPendingRevocation.map { ($0.topicId, $0.partitions) })
        set(member)
    }
}
