import KafkaProtocol

extension GroupCoordinatorShard {
    mutating func deleteOffsets(_ request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let classic = classicGroups[request.groupId]
        guard classic != nil || consumerGroups[request.groupId] != nil else { return .failure(.groupIdNotFound) }
        // Nobody can tell which topics the members of another protocol type use.
        if let classic, classic.state != .empty, !classic.usesConsumerProtocol { return .failure(.nonEmptyGroup) }

        let inUse = topicsInUse(by: request.groupId)
        var response = OffsetDeleteResponse()
        for topic in request.topics {
            var topicResponse = OffsetDeleteResponse.OffsetDeleteResponseTopic()
            topicResponse.name = topic.name
            for partition in topic.partitions {
                var result = OffsetDeleteResponse.OffsetDeleteResponsePartition()
                result.partitionIndex = partition.partitionIndex
                if inUse.contains(topic.name) {
                    result.errorCode = ErrorCode.groupSubscribedToTopic.rawValue
                } else if offsets.offset(
                    group: request.groupId, topic: topic.name, partition: partition.partitionIndex) != nil
                {
                    write(
                        CommittedOffset.tombstone(
                            group: request.groupId, topic: topic.name, partition: partition.partitionIndex))
                }
                topicResponse.partitions.append(result)
            }
            response.topics.append(topicResponse)
        }
        return response
    }

    mutating func deleteAllOffsets(of groupId: String) {
        for (topic, partitions) in offsets.topics(of: groupId).sorted(by: { $0.key < $1.key }) {
            for partition in partitions.keys.sorted() {
                write(CommittedOffset.tombstone(group: groupId, topic: topic, partition: partition))
            }
        }
    }

    /// Forgets the offsets in topics that were deleted, in all groups: a topic of the same name is another topic.
    mutating func deleteOffsets(ofTopics deleted: Set<String>) {
        effects.isDivisible = true
        for groupId in offsets.offsets.keys.sorted() {
            for topic in offsets.topics(of: groupId).keys.sorted() where deleted.contains(topic) {
                for partition in offsets.topics(of: groupId)[topic, default: [:]].keys.sorted() {
                    write(CommittedOffset.tombstone(group: groupId, topic: topic, partition: partition))
                }
            }
        }
    }
}
