import KafkaProtocol

/// DescribeTopicPartitions: metadata of topics in pages (KIP-966).
enum DescribeTopicPartitionsHandler: RequestHandler {
    typealias Request = DescribeTopicPartitionsRequest

    static func handle(
        _ request: DescribeTopicPartitionsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeTopicPartitionsResponse> {
        let image = context.broker.cluster.image
        var response = DescribeTopicPartitionsResponse()
        var names = request.topics.isEmpty ? Array(image.topics.keys) : Array(Set(request.topics.map(\.name)))
        names.sort()
        var firstPartition = 0
        if let cursor = request.cursor {
            names.removeAll { $0 < cursor.topicName }
            if names.first == cursor.topicName { firstPartition = max(0, Int(cursor.partitionIndex)) }
        }
        var room = max(
            1,
            min(
                Int(request.responsePartitionLimit),
                context.broker.configuration.int("max.request.partition.size.limit")))
        for name in names {
            guard room > 0 else {
                response.nextCursor = cursor(name, 0)
                break
            }
            let first = firstPartition
            firstPartition = 0
            var entry = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic()
            entry.name = name
            guard let topic = image.topic(named: name) else {
                entry.errorCode = ErrorCode(missingTopic: name).rawValue
                response.topics.append(entry)
                continue
            }
            entry.topicId = topic.id
            entry.isInternal = topic.isInternal
            entry.topicAuthorizedOperations = AuthorizedOperations.topic
            let last = min(topic.partitions.count, first + room)
            for index in min(first, last)..<last {
                let partition = topic.partitions[index]
                var result = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponsePartition()
                result.partitionIndex = Int32(index)
                result.leaderId = partition.leader
                result.leaderEpoch = partition.leaderEpoch
                result.replicaNodes = partition.replicas
                result.isrNodes = partition.inSyncReplicas
                result.offlineReplicas = image.offline(partition.replicas)
                result.eligibleLeaderReplicas = []
                result.lastKnownElr = []
                entry.partitions.append(result)
                room -= 1
            }
            response.topics.append(entry)
            if last < topic.partitions.count {
                response.nextCursor = cursor(name, Int32(last))
                break
            }
        }
        return .reply(response)
    }

    private static func cursor(_ topic: String, _ partition: Int32) -> DescribeTopicPartitionsResponse.Cursor {
        var cursor = DescribeTopicPartitionsResponse.Cursor()
        cursor.topicName = topic
        cursor.partitionIndex = partition
        return cursor
    }
}
