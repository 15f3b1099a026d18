import ClusterMetadata
import Configuration
import KafkaProtocol

/// Something that has configurations, as the protocol names it.
enum ConfigurationResource: Hashable {
    case topic(String)
    /// nil is the default of all brokers.
    case broker(Int32?)

    static let topicType: Int8 = 2
    static let brokerType: Int8 = 4

    init(_ type: Int8, _ name: String) throws(MetadataRefusal) {
        switch type {
        case ConfigurationResource.topicType:
            self = .topic(name)
        case ConfigurationResource.brokerType where name.isEmpty:
            self = .broker(nil)
        case ConfigurationResource.brokerType:
            guard let id = Int32(name) else {
                throw MetadataRefusal(.invalidRequest, "'\(name)' is no broker id.")
            }
            self = .broker(id)
        default:
            throw MetadataRefusal(.invalidRequest, "Resource type \(type) has no configurations here.")
        }
    }

    func describe(_ broker: Broker) throws(MetadataRefusal) -> [ConfigurationDescription] {
        let layers = broker.configurations
        switch self {
        case .topic(let name):
            let topic = try existing(name, broker)
            return TopicConfigurations.all.map { .topic($0, topic.configuration, layers) }
        case .broker(nil):
            return BrokerConfigurations.all.compactMap { definition in
                layers.dynamicDefault[definition.name].map { value in
                    ConfigurationDescription(
                        definition: definition,
                        synonyms: [.init(name: definition.name, value: value, source: .dynamicDefaultBroker)])
                }
            }
        case .broker(let id?):
            guard id == broker.cluster.nodeId else {
                throw MetadataRefusal(
                    .invalidRequest, "Unexpected broker id, expected \(broker.cluster.nodeId), but got \(id).")
            }
            return BrokerConfigurations.all.map { .broker($0, layers) }
        }
    }

    /// What is set for the resource itself.
    func values(_ broker: Broker) throws(MetadataRefusal) -> ConfigurationValues {
        switch self {
        case .topic(let name): return try existing(name, broker).configuration
        case .broker(let id):
            // Of any node: the controller is asked for all of them.
            let image = broker.cluster.image
            if let id, id != broker.cluster.nodeId, image.brokers[id] == nil, image.nodes[id] == nil {
                throw MetadataRefusal(.invalidRequest, "There is no broker \(id).")
            }
            return image.brokerConfigurations[id] ?? ConfigurationValues()
        }
    }

    /// Stores the values and puts them to work. On the control thread.
    func store(_ values: ConfigurationValues, _ broker: Broker) throws(MetadataRefusal) {
        switch self {
        case .topic(let name):
            var topic = try existing(name, broker)
            topic.configuration = values
            try broker.topicService.update(topic)
        case .broker(let id):
            try broker.topicService.setBrokerConfiguration(values, nodeId: id)
        }
    }

    var definitions: [String: ConfigurationDefinition] {
        switch self {
        case .topic: TopicConfigurations.byName
        case .broker: BrokerConfigurations.byName
        }
    }

    private func existing(_ name: String, _ broker: Broker) throws(MetadataRefusal) -> TopicMetadata {
        if let objection = TopicName.objection(to: name) {
            throw MetadataRefusal(.invalidTopicException, objection)
        }
        guard let topic = broker.cluster.image.topic(named: name) else {
            throw MetadataRefusal(.unknownTopicOrPartition, "There is no topic '\(name)'.")
        }
        return topic
    }
}
