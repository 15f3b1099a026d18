import Configuration
import Foundation
import KafkaProtocol

/// The form of the metadata in the store: which keys there are and what they hold (JSON, so that a person can read it).
enum MetadataKey {
    static let cluster = "cluster"
    static let producerIds = "producer-ids"
    static let topicPrefix = "topics/"
    static let brokerConfigurationPrefix = "configs/brokers/"

    static func topic(_ name: String) -> String { topicPrefix + name }

    /// nil stands for the default of all brokers.
    static func brokerConfiguration(_ nodeId: Int32?) -> String {
        brokerConfigurationPrefix + (nodeId.map { "\($0)" } ?? "default")
    }
}

struct ClusterEntry: Codable {
    var clusterId: String
}

struct ProducerIdsEntry: Codable {
    /// The first producer id that was never handed to a broker.
    var next: Int64
}

struct TopicEntry: Codable {
    var id: String
    var partitions: [PartitionMetadata]
    var configs: [String: String]
}

extension MetadataEntry {
    func decoded<Value: Decodable>(as type: Value.Type) throws(MetadataStoreError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(value))
        } catch {
            throw .corrupt(key: key, reason: "\(error)")
        }
    }
}

func encodeEntry(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    do {
        return [UInt8](try encoder.encode(value))
    } catch {
        preconditionFailure("plain structs always encode: \(error)")
    }
}

extension TopicMetadata {
    var entry: [UInt8] {
        encodeEntry(TopicEntry(id: id.description, partitions: partitions, configs: configuration.explicit))
    }

    init(name: String, entry: MetadataEntry) throws(MetadataStoreError) {
        let decoded = try entry.decoded(as: TopicEntry.self)
        guard let id = Uuid(decoded.id) else {
            throw .corrupt(key: entry.key, reason: "'\(decoded.id)' is no topic id")
        }
        self.init(
            name: name, id: id, partitions: decoded.partitions,
            configuration: try configurationValues(decoded.configs, TopicConfigurations.byName, key: entry.key))
    }
}

func configurationValues(
    _ values: [String: String], _ definitions: [String: ConfigurationDefinition], key: String
) throws(MetadataStoreError) -> ConfigurationValues {
    var result = ConfigurationValues()
    for (name, value) in values {
        do {
            try result.set(name, to: value, in: definitions)
        } catch {
            throw .corrupt(key: key, reason: "\(error)")
        }
    }
    return result
}
