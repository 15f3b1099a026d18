import ClusterMetadata
import KafkaProtocol

/// CreatePartitions: more partitions for topics that exist.
enum CreatePartitionsHandler: RequestHandler {
    typealias Request = CreatePartitionsRequest

    static func handle(
        _ request: CreatePartitionsRequest, _ context: RequestContext
    ) -> HandlerOutcome<CreatePartitionsResponse> {
        context.onControlThread { broker in
            var response = CreatePartitionsResponse()
            var answered = Set<String>()
            for topic in request.topics {
                var result = CreatePartitionsResponse.CreatePartitionsTopicResult()
                result.name = topic.name
                do throws(MetadataRefusal) {
                    guard answered.insert(topic.name).inserted else {
                        throw MetadataRefusal(.invalidRequest, "The request names the topic twice.")
                    }
                    guard !InternalTopic.names.contains(topic.name) else {
                        throw MetadataRefusal(
                            .invalidTopicException, "The number of partitions of \(topic.name) places the groups.")
                    }
                    try broker.topicService.addPartitions(
                        to: topic.name, count: topic.count, assignments: topic.assignments?.map(\.brokerIds),
                        validateOnly: request.validateOnly)
                } catch {
                    result.errorCode = error.code.rawValue
                    result.errorMessage = error.message
                }
                response.results.append(result)
            }
            return response
        }
    }
}
