import ClusterMetadata
import KafkaProtocol

/// ElectLeaders: gives partitions back to their preferred replica, or where nobody is left in sync, to one that may lack
/// records (KIP-460).
enum ElectLeadersHandler: RequestHandler {
    typealias Request = ElectLeadersRequest
    typealias Response = ElectLeadersResponse

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        guard let kind = LeaderElectionKind(rawValue: request.electionType) else {
            var response = Response()
            response.errorCode = ErrorCode.invalidRequest.rawValue
            return .reply(response)
        }
        return context.onControlThread { broker in
            let references = request.topicPartitions?.flatMap { topic in
                topic.partitions.map { PartitionReference(topic: topic.topic, partition: $0) }
            }
            let outcome = broker.cluster.image.electLeaders(kind, of: references)
            var response = Response()
            do throws(MetadataRefusal) {
                try broker.controller.store(outcome.topics)
                for partition in outcome.uncleanElections { broker.controller.report(unclean: partition) }
            } catch {
                response.errorCode = error.code.rawValue
                return response
            }
            for result in outcome.results {
                var partition = Response.PartitionResult()
                partition.partitionId = result.reference.partition
                partition.errorCode = (result.refusal?.code ?? .none).rawValue
                partition.errorMessage = result.refusal?.message
                let topic = result.reference.topic
                if response.replicaElectionResults.last?.topic != topic {
                    var entry = Response.ReplicaElectionResult()
                    entry.topic = topic
                    response.replicaElectionResults.append(entry)
                }
                response.replicaElectionResults[response.replicaElectionResults.count - 1].partitionResult.append(
                    partition)
            }
            return response
        }
    }
}
