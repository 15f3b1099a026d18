import ClusterMetadata
import KafkaProtocol

/// ListPartitionReassignments: which partitions are getting other replicas. Every node knows.
enum ListPartitionReassignmentsHandler: RequestHandler {
    typealias Request = ListPartitionReassignmentsRequest
    typealias Response = ListPartitionReassignmentsResponse

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        let references = request.topics?.flatMap { topic in
            topic.partitionIndexes.map { PartitionReference(topic: topic.name, partition: $0) }
        }
        let ongoing = context.broker.cluster.image.reassignments(of: references)
        var response = Response()
        let byTopic = Dictionary(grouping: ongoing, by: \.reference.topic).sorted { $0.key < $1.key }
        response.topics = byTopic.map { name, reassignments in
            var topic = Response.OngoingTopicReassignment()
            topic.name = name
            topic.partitions = reassignments.map { reassignment in
                var partition = Response.OngoingPartitionReassignment()
                partition.partitionIndex = reassignment.reference.partition
                partition.replicas = reassignment.replicas
                partition.addingReplicas = reassignment.adding
                partition.removingReplicas = reassignment.removing
                return partition
            }
            return topic
        }
        return .reply(response)
    }
}
