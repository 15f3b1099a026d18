import GroupCoordinator
import KafkaProtocol

/// OffsetDelete: forgets committed offsets (KIP-496).
enum OffsetDeleteHandler: RequestHandler {
    typealias Request = OffsetDeleteRequest

    static func handle(_ request: OffsetDeleteRequest, _ context: RequestContext) -> HandlerOutcome<
        OffsetDeleteResponse
    > {
        let image = context.broker.cluster.image
        var known = request
        var unknown: [OffsetDeleteResponse.OffsetDeleteResponseTopic] = []
        for (index, topic) in request.topics.enumerated() {
            let there = 0..<Int32(image.topic(named: topic.name)?.partitions.count ?? 0)
            known.topics[index].partitions.removeAll { !there.contains($0.partitionIndex) }
            let rest = topic.partitions.map(\.partitionIndex).filter { !there.contains($0) }
            if !rest.isEmpty { unknown.append(refusal(of: rest, in: topic.name)) }
        }
        known.topics.removeAll(where: \.partitions.isEmpty)
        let refused = unknown
        return context.toShard(of: request.groupId, in: context.groups, .offsetDelete(known)) { response in
            guard case .offsetDelete(var response) = response else { return nil }
            guard response.errorCode == ErrorCode.none.rawValue else { return response }
            for topic in refused {
                if let place = response.topics.firstIndex(where: { $0.name == topic.name }) {
                    response.topics[place].partitions += topic.partitions
                } else {
                    response.topics.append(topic)
                }
            }
            return response
        }
    }

    private static func refusal(
        of partitions: [Int32], in topic: String
    ) -> OffsetDeleteResponse.OffsetDeleteResponseTopic {
        var refused = OffsetDeleteResponse.OffsetDeleteResponseTopic()
        refused.name = topic
        refused.partitions = partitions.map { index in
            var partition = OffsetDeleteResponse.OffsetDeleteResponsePartition()
            partition.partitionIndex = index
            partition.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
            return partition
        }
        return refused
    }
}
