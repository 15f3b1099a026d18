import KafkaProtocol

extension ConsumerGroup {
    func described(
        _ topics: TopicsImage, _ configuration: GroupConfiguration
    ) -> ConsumerGroupDescribeResponse.DescribedGroup {
        var described = ConsumerGroupDescribeResponse.DescribedGroup()
        described.groupId = groupId
        described.groupState = state.rawValue
        described.groupEpoch = groupEpoch
        described.assignmentEpoch = assignmentEpoch
        described.assignorName = preferredAssignor(configuration).rawValue
        described.members = sortedMemberIds.map { id in
            let member = members[id]!
            var shown = ConsumerGroupDescribeResponse.Member()
            shown.memberId = id
            shown.instanceId = member.instanceId
            shown.rackId = member.rackId
            shown.memberEpoch = member.memberEpoch
            shown.clientId = member.clientId
            shown.clientHost = member.clientHost
            shown.subscribedTopicNames = member.subscribedTopicNames
            shown.subscribedTopicRegex = member.subscribedTopicRegex
            shown.assignment = Self.shown(member.assignedPartitions, topics)
            shown.targetAssignment = Self.shown(targetAssignment[id] ?? .empty, topics)
            return shown
        }
        return described
    }

    /// Topics that were deleted have no name to show.
    private static func shown(
        _ partitions: TopicPartitionSet, _ topics: TopicsImage
    ) -> ConsumerGroupDescribeResponse.Assignment {
        var assignment = ConsumerGroupDescribeResponse.Assignment()
        assignment.topicPartitions = partitions.sorted.compactMap { topicId, partitions in
            guard let name = topics.topicsById[topicId]?.name else { return nil }
            var topic = ConsumerGroupDescribeResponse.TopicPartitions()
            topic.topicId = topicId
            topic.topicName = name
            topic.partitions = partitions
            return topic
        }
        return assignment
    }
}
