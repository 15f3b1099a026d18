import Configuration
import Foundation
import KafkaProtocol

/// The form of the metadata in the store: which keys there are and what they hold (JSON, so that a person can read it).
package enum MetadataKey {
    package static let cluster = "cluster"
    package static let producerIds = "producer-ids"
    /// The node that is the controller; ephemeral.
    package static let controller = "controller"
    /// Written by each new controller, so that its version tells the controllers apart.
    package static let controllerEpoch = "controller-epoch"
    package static let topicPrefix = "topics/"
    /// What is remembered of nodes.
    package static let nodePrefix = "nodes/"
    /// The nodes that are there; ephemeral.
    package static let brokerPrefix = "brokers/"
    package static let brokerConfigurationPrefix = "configs/brokers/"

    package static func topic(_ name: String) -> String { topicPrefix + name }
    package static func node(_ id: Int32) -> String { nodePrefix + "\(id)" }
    package static func broker(_ id: Int32) -> String { brokerPrefix + "\(id)" }

    /// nil stands for the default of all brokers.
    package static func brokerConfiguration(_ nodeId: Int32?) -> String {
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

struct ControllerEntry: Codable {
    var nodeId: Int32
}

struct BrokerEntry: Codable {
    var incarnation: String
    var endpoints: [BrokerRegistration.Endpoint]
    var rack: String?
    var isShuttingDown: Bool
}

struct TopicEntry: Codable {
    var id: String
    var partitions: [PartitionMetadata]
    var configs: [String: String]
}

/// As an array, because there may be ten thousand in an entry: leader, leader epoch, partition epoch, replicas, in-sync
/// replicas, and during a reassignment those that join and those that leave.
extension PartitionMetadata: Codable {
    /// How the first releases wrote it.
    private enum Key: String, CodingKey {
        case leader, leaderEpoch, replicas, inSyncReplicas
    }

    package init(from decoder: any Decoder) throws {
        guard var list = try? decoder.unkeyedContainer() else {
            let keyed = try decoder.container(keyedBy: Key.self)
            self.init(
                leader: try keyed.decode(Int32.self, forKey: .leader),
                leaderEpoch: try keyed.decode(Int32.self, forKey: .leaderEpoch),
                replicas: try keyed.decode([Int32].self, forKey: .replicas),
                inSyncReplicas: try keyed.decode([Int32].self, forKey: .inSyncReplicas))
            return
        }
        self.init(
            leader: try list.decode(Int32.self), leaderEpoch: try list.decode(Int32.self),
            partitionEpoch: try list.decode(Int32.self), replicas: try list.decode([Int32].self),
            inSyncReplicas: try list.decode([Int32].self))
        if !list.isAtEnd {
            addingReplicas = try list.decode([Int32].self)
            removingReplicas = try list.decode([Int32].self)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(leader)
        try list.encode(leaderEpoch)
        try list.encode(partitionEpoch)
        try list.encode(replicas)
        try list.encode(inSyncReplicas)
        if isReassigned {
            try list.encode(addingReplicas)
            try list.encode(removingReplicas)
        }
    }
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
