import ClusterMetadata
import KafkaProtocol

/// DeleteTopics: by name, or from version 6 by id.
enum DeleteTopicsHandler: RequestHandler {
    typealias Request = DeleteTopicsRequest

    static func handle(
        _ request: DeleteTopicsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DeleteTopicsResponse> {
        let version = context.version
        return context.onControlThread { broker in
            var response = DeleteTopicsResponse()
            if version >= 6 {
                response.responses = request.topics.map { delete($0.name, $0.topicId, version, broker) }
            } else {
                response.responses = request.topicNames.map { delete($0, .zero, version, broker) }
            }
            return response
        }
    }

    private static func delete(
        _ name: String?, _ id: Uuid, _ version: Int16, _ broker: Broker
    ) -> DeleteTopicsResponse.DeletableTopicResult {
        var result = DeleteTopicsResponse.DeletableTopicResult()
        result.name = name
        result.topicId = id
        func refuse(_ code: ErrorCode, _ message: String) -> DeleteTopicsResponse.DeletableTopicResult {
            result.errorCode = code.rawValue
            result.errorMessage = message
            return result
        }
        if name != nil && id != .zero {
            return refuse(.invalidRequest, "Name a topic by its name or by its id, not by both.")
        }
        guard broker.configuration.bool("delete.topic.enable") else {
            return refuse(version >= 3 ? .topicDeletionDisabled : .invalidRequest, "delete.topic.enable is false.")
        }
        let image = broker.cluster.image
        guard let topic = name.map({ image.topic(named: $0) }) ?? image.topic(withId: id) else {
            return name == nil
                ? refuse(.unknownTopicId, "There is no topic with this id.")
                : refuse(.unknownTopicOrPartition, "There is no topic '\(name!)'.")
        }
        guard !topic.isInternal else {
            return refuse(.invalidTopicException, "\(topic.name) is the broker's own.")
        }
        do {
            try broker.topicService.delete(topic)
            result.name = topic.name
            result.topicId = topic.id
            return result
        } catch {
            return refuse(error.code, error.message)
        }
    }
}
