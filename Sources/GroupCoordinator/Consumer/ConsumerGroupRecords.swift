import KafkaProtocol

/// Makes the records of a consumer group.
struct ConsumerGroupRecords {
    let groupId: String

    func groupEpoch(_ epoch: Int32?) -> GroupRecord {
        var key = ConsumerGroupMetadataKey()
        key.groupId = groupId
        return .consumerGroupMetadata(
            key,
            epoch.map {
                var value = ConsumerGroupMetadataValue()
                value.epoch = $0
                return value
            })
    }

    func subscriptionMetadata(_ topics: [String: ConsumerGroup.TopicMetadata]?) -> GroupRecord {
        var key = ConsumerGroupPartitionMetadataKey()
        key.groupId = groupId
        return .consumerGroupPartitionMetadata(
            key,
            topics.map { topics in
                var value = ConsumerGroupPartitionMetadataValue()
                value.topics = topics.sorted { $0.key < $1.key }.map { name, metadata in
                    var topic = ConsumerGroupPartitionMetadataValue.TopicMetadata()
                    topic.topicId = metadata.id
                    topic.topicName = name
                    topic.numPartitions = metadata.partitionCount
                    return topic
                }
                return value
            })
    }

    func memberMetadata(_ member: ConsumerGroupMember) -> GroupRecord {
        var value = ConsumerGroupMemberMetadataValue()
        value.instanceId = member.instanceId
        value.rackId = member.rackId
        value.clientId = member.clientId
        value.clientHost = member.clientHost
        value.subscribedTopicNames = member.subscribedTopicNames
        value.subscribedTopicRegex = member.subscribedTopicRegex
        value.rebalanceTimeoutMs = member.rebalanceTimeoutMs
        value.serverAssignor = member.serverAssignor
        return .consumerGroupMemberMetadata(memberMetadataKey(member.memberId), value)
    }

    func memberMetadataTombstone(_ memberId: String) -> GroupRecord {
        .consumerGroupMemberMetadata(memberMetadataKey(memberId), nil)
    }

    func assignmentEpoch(_ epoch: Int32?) -> GroupRecord {
        var key = ConsumerGroupTargetAssignmentMetadataKey()
        key.groupId = groupId
        return .consumerGroupTargetAssignmentMetadata(
            key,
            epoch.map {
                var value = ConsumerGroupTargetAssignmentMetadataValue()
                value.assignmentEpoch = $0
                return value
            })
    }

    func target(_ memberId: String, _ partitions: TopicPartitionSet?) -> GroupRecord {
        var key = ConsumerGroupTargetAssignmentMemberKey()
        key.groupId = groupId
        key.memberId = memberId
        return .consumerGroupTargetAssignmentMember(
            key,
            partitions.map { partitions in
                var value = ConsumerGroupTargetAssignmentMemberValue()
                value.topicPartitions = partitions.sorted.map { topicId, partitions in
                    var topic = ConsumerGroupTargetAssignmentMemberValue.TopicPartition()
                    topic.topicId = topicId
                    topic.partitions = partitions
                    return topic
                }
                return value
            })
    }

    func currentAssignment(_ member: ConsumerGroupMember) -> GroupRecord {
        var value = ConsumerGroupCurrentMemberAssignmentValue()
        value.memberEpoch = member.memberEpoch
        value.previousMemberEpoch = member.previousMemberEpoch
        value.state = member.state.rawValue
        value.assignedPartitions = Self.stored(member.assignedPartitions)
        value.partitionsPendingRevocation = Self.stored(member.partitionsPendingRevocation)
        return .consumerGroupCurrentMemberAssignment(currentAssignmentKey(member.memberId), value)
    }

    func currentAssignmentTombstone(_ memberId: String) -> GroupRecord {
        .consumerGroupCurrentMemberAssignment(currentAssignmentKey(memberId), nil)
    }

    private func memberMetadataKey(_ memberId: String) -> ConsumerGroupMemberMetadataKey {
        var key = ConsumerGroupMemberMetadataKey()
        key.groupId = groupId
        key.memberId = memberId
        return key
    }

    private func currentAssignmentKey(_ memberId: String) -> ConsumerGroupCurrentMemberAssignmentKey {
        var key = ConsumerGroupCurrentMemberAssignmentKey()
        key.groupId = groupId
        key.memberId = memberId
        return key
    }

    private static func stored(
        _ partitions: TopicPartitionSet
    ) -> [ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions] {
        partitions.sorted.map { topicId, partitions in
            var topic = ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions()
            topic.topicId = topicId
            topic.partitions = partitions
            return topic
        }
    }
}
