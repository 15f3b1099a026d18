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
                } else if hasOffset(group: request.groupId, topic: topic.name, partition: partition.partitionIndex) {
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

    /// Whether a tombstone would delete anything: a committed offset or one of an open transaction.
    private func hasOffset(group groupId: String, topic: String, partition: Int32) -> Bool {
        offsets.offset(group: groupId, topic: topic, partition: partition) != nil
            || producers.hasPendingOffset(group: groupId, topic: topic, partition: partition)
    }

    /// What a group has committed and would commit at the end of open transactions, in order.
    private func partitionsWithOffsets(of groupId: String) -> [(topic: String, partitions: [Int32])] {
        var partitions = producers.pendingPartitions(of: groupId)
        for (topic, offsets) in offsets.topics(of: groupId) { partitions[topic, default: []].formUnion(offsets.keys) }
        return partitions.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted()) }
    }

    mutating func deleteAllOffsets(of groupId: String) {
        for (topic, partitions) in partitionsWithOffsets(of: groupId) {
            for partition in partitions {
                write(CommittedOffset.tombstone(group: groupId, topic: topic, partition: partition))
            }
        }
    }

    /// Forgets the offsets in topics that were deleted, in all groups: a topic of the same name is another topic.
    mutating func deleteOffsets(ofTopics deleted: Set<String>) {
        effects.isDivisible = true
        for groupId in Set(offsets.offsets.keys).union(producers.producersByGroup.keys).sorted() {
            for (topic, partitions) in partitionsWithOffsets(of: groupId) where deleted.contains(topic) {
                for partition in partitions {
                    write(CommittedOffset.tombstone(group: groupId, topic: topic, partition: partition))
                }
            }
        }
    }
}
