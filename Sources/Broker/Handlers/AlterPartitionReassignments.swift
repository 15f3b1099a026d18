import ClusterMetadata
import KafkaProtocol

/// AlterPartitionReassignments: other replicas for partitions, or an end of what was begun (KIP-455).
enum AlterPartitionReassignmentsHandler: RequestHandler {
    typealias Request = AlterPartitionReassignmentsRequest
    typealias Response = AlterPartitionReassignmentsResponse

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        let version = context.version
        return context.onControlThread { broker in
            var response = Response()
            response.allowReplicationFactorChange = request.allowReplicationFactorChange
            let wishes = request.topics.flatMap { topic in
                topic.partitions.map {
                    ReassignmentRequest(
                        PartitionReference(topic: topic.name, partition: $0.partitionIndex), to: $0.replicas)
                }
            }
            let outcome = broker.cluster.image.alterReassignments(
                wishes, allowsOtherReplicationFactor: version < 1 || request.allowReplicationFactorChange,
                defaults: broker.configuration)
            do throws(MetadataRefusal) {
                try broker.controller.store(outcome.topics)
                for partition in outcome.uncleanElections { broker.controller.report(unclean: partition) }
            } catch {
                response.errorCode = error.code.rawValue
                response.errorMessage = error.message
                return response
            }
            var refusals = outcome.refusals[...]
            response.responses = request.topics.map { topic in
                var result = Response.ReassignableTopicResponse()
                result.name = topic.name
                result.partitions = topic.partitions.map { partition in
                    let refusal = refusals.removeFirst()
                    var answer = Response.ReassignablePartitionResponse()
                    answer.partitionIndex = partition.partitionIndex
                    answer.errorCode = (refusal?.code ?? .none).rawValue
                    answer.errorMessage = refusal?.message
                    return answer
                }
                return result
            }
            return response
        }
    }
}
