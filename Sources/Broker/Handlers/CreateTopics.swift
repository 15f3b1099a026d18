import ClusterMetadata
import Configuration
import KafkaProtocol

/// CreateTopics.
enum CreateTopicsHandler: RequestHandler {
    typealias Request = CreateTopicsRequest

    static func handle(
        _ request: CreateTopicsRequest, _ context: RequestContext
    ) -> HandlerOutcome<CreateTopicsResponse> {
        // Another broker may have been asked for the coordinator of something.
        let isBroker = context.clientId == Peers.clientId
        return context.onControlThread { broker in
            var seen: [String: Int] = [:]
            for topic in request.topics { seen[topic.name, default: 0] += 1 }
            var response = CreateTopicsResponse()
            var answered = Set<String>()
            for topic in request.topics where answered.insert(topic.name).inserted {
                if seen[topic.name]! > 1 {
                    response.topics.append(
                        refused(topic.name, MetadataRefusal(.invalidRequest, "The request names the topic twice.")))
                } else {
                    response.topics.append(
                        create(
                            topic, validateOnly: request.validateOnly, isBroker: isBroker, broker))
                }
            }
            return response
        }
    }

    private static func create(
        _ topic: CreateTopicsRequest.CreatableTopic, validateOnly: Bool, isBroker: Bool, _ broker: Broker
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var new = NewTopic(
            name: topic.name, partitionCount: topic.numPartitions, replicationFactor: topic.replicationFactor)
        for assignment in topic.assignments { new.assignments[assignment.partitionIndex] = assignment.brokerIds }
        new.configuration = topic.configs.compactMap { config in config.value.map { (config.name, $0) } }
        if let config = topic.configs.first(where: { $0.value == nil }) {
            return refused(topic.name, MetadataRefusal(.invalidConfig, "Null value for \(config.name)."))
        }
        if InternalTopic.names.contains(topic.name), !isBroker {
            return refused(
                topic.name, MetadataRefusal(.invalidTopicException, "The broker makes \(topic.name) itself."))
        }
        do {
            let created =
                InternalTopic.names.contains(topic.name)
                ? try broker.topicService.createInternal(topic.name)
                : try broker.topicService.create(new, validateOnly: validateOnly)
            return describe(created, broker)
        } catch {
            return refused(topic.name, error)
        }
    }

    private static func describe(
        _ topic: TopicMetadata, _ broker: Broker
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var result = CreateTopicsResponse.CreatableTopicResult()
        result.name = topic.name
        result.topicId = topic.id
        result.numPartitions = Int32(topic.partitions.count)
        result.replicationFactor = Int16(topic.partitions[0].replicas.count)
        result.configs = TopicConfigurations.all.map { definition in
            let described = ConfigurationDescription.topic(definition, topic.configuration, broker.configurations)
            var config = CreateTopicsResponse.CreatableTopicConfigs()
            config.name = definition.name
            config.value = described.value
            config.configSource = described.source.rawValue
            return config
        }
        return result
    }

    private static func refused(
        _ name: String, _ refusal: MetadataRefusal
    ) -> CreateTopicsResponse.CreatableTopicResult {
        var result = CreateTopicsResponse.CreatableTopicResult()
        result.name = name
        result.errorCode = refusal.code.rawValue
        result.errorMessage = refusal.message
        return result
    }
}
