import Configuration
import KafkaProtocol

/// All metadata, as one value in memory. Requests are answered from it; a change makes a new one.
package struct MetadataImage: Sendable {
    package var clusterId = ""
    package var brokers: [Int32: BrokerRegistration] = [:]
    package var topics: [String: TopicMetadata] = [:]
    package var topicNames: [Uuid: String] = [:]
    /// Configurations changed at run time: by node id, and for all nodes under nil.
    package var brokerConfigurations: [Int32?: ConfigurationValues] = [:]

    package init() {}

    package func topic(named name: String) -> TopicMetadata? { topics[name] }

    package func topic(withId id: Uuid) -> TopicMetadata? {
        topicNames[id].flatMap { topics[$0] }
    }

    package mutating func insert(_ topic: TopicMetadata) {
        topics[topic.name] = topic
        topicNames[topic.id] = topic.name
    }

    package mutating func removeTopic(named name: String) {
        guard let topic = topics.removeValue(forKey: name) else { return }
        topicNames[topic.id] = nil
    }

    package var partitionCount: Int {
        topics.values.reduce(0) { $0 + $1.partitions.count }
    }
}

package struct BrokerRegistration: Sendable, Equatable {
    package var nodeId: Int32
    package var host: String
    package var port: Int32
    package var rack: String?

    package init(nodeId: Int32, host: String, port: Int32, rack: String?) {
        self.nodeId = nodeId
        self.host = host
        self.port = port
        self.rack = rack
    }
}

/// A topic. A topic that is deleted and made again has another id: it is another topic.
package struct TopicMetadata: Sendable, Equatable {
    package var name: String
    package var id: Uuid
    package var partitions: [PartitionMetadata]
    package var configuration: ConfigurationValues

    package init(name: String, id: Uuid, partitions: [PartitionMetadata], configuration: ConfigurationValues) {
        self.name = name
        self.id = id
        self.partitions = partitions
        self.configuration = configuration
    }

    package var isInternal: Bool { InternalTopic.names.contains(name) }
}

package struct PartitionMetadata: Sendable, Equatable, Codable {
    package var leader: Int32
    package var leaderEpoch: Int32
    package var replicas: [Int32]
    package var inSyncReplicas: [Int32]

    package init(leader: Int32, leaderEpoch: Int32, replicas: [Int32], inSyncReplicas: [Int32]) {
        self.leader = leader
        self.leaderEpoch = leaderEpoch
        self.replicas = replicas
        self.inSyncReplicas = inSyncReplicas
    }
}

/// Topics that the brokers keep for themselves.
package enum InternalTopic {
    package static let consumerOffsets = "__consumer_offsets"
    package static let transactionState = "__transaction_state"
    package static let names: Set<String> = [consumerOffsets, transactionState]
}
