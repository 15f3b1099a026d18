import Configuration
import KafkaProtocol

/// All metadata, as one value in memory. Requests are answered from it; a change makes a new one.
package struct MetadataImage: Sendable {
    package var clusterId = ""
    /// The node that decides about partitions; -1 while there is none.
    package var controllerId: Int32 = -1
    /// The nodes that are there now.
    package var brokers: [Int32: BrokerRegistration] = [:]
    /// What is known of all nodes that ever were there, but for those that were unregistered.
    package var nodes: [Int32: NodeRecord] = [:]
    package var topics: [String: TopicMetadata] = [:]
    package var topicNames: [Uuid: String] = [:]
    /// Configurations changed at run time: by node id, and for all nodes under nil.
    package var brokerConfigurations: [Int32?: ConfigurationValues] = [:]
    /// The version of each entry in the store, for the conditions of the next change.
    package var versions: [String: Int64] = [:]
    /// Collision key → the topic that has it.
    package var collisions: [String: String] = [:]

    package init() {}

    package func topic(named name: String) -> TopicMetadata? { topics[name] }

    package func topic(withId id: Uuid) -> TopicMetadata? {
        topicNames[id].flatMap { topics[$0] }
    }

    /// Rises with every new controller: the condition under which what it decides is stored.
    package var controllerEpoch: Int64 { versions[MetadataKey.controllerEpoch] ?? 0 }

    package mutating func insert(_ topic: TopicMetadata) {
        if let before = topics[topic.name], before.id != topic.id { topicNames[before.id] = nil }
        topics[topic.name] = topic
        topicNames[topic.id] = topic.name
        collisions[TopicName.collisionKey(topic.name)] = topic.name
    }

    package mutating func removeTopic(named name: String) {
        guard let topic = topics.removeValue(forKey: name) else { return }
        topicNames[topic.id] = nil
        collisions[TopicName.collisionKey(name)] = nil
    }

    package var partitionCount: Int {
        topics.values.reduce(0) { $0 + $1.partitions.count }
    }
}

/// A node that is there.
package struct BrokerRegistration: Sendable, Equatable {
    package struct Endpoint: Sendable, Equatable, Codable {
        package var listener: String
        package var host: String
        package var port: Int32

        package init(listener: String, host: String, port: Int32) {
            self.listener = listener
            self.host = host
            self.port = port
        }
    }

    package var nodeId: Int32
    package var endpoints: [Endpoint]
    package var rack: String?
    /// One life of the node's process.
    package var incarnation: String
    /// Rises with every registration of the node.
    package var epoch: Int64
    /// Whether the controller has taken note of this life; until then it leads nothing and is in no in-sync set.
    package var isAdmitted: Bool
    /// Whether it is about to stop and must be given nothing more to lead.
    package var isShuttingDown: Bool

    package init(
        nodeId: Int32, endpoints: [Endpoint], rack: String?, incarnation: String = "", epoch: Int64 = 0,
        isAdmitted: Bool = true, isShuttingDown: Bool = false
    ) {
        self.nodeId = nodeId
        self.endpoints = endpoints
        self.rack = rack
        self.incarnation = incarnation
        self.epoch = epoch
        self.isAdmitted = isAdmitted
        self.isShuttingDown = isShuttingDown
    }

    /// Where it is reached through the listener, or through its first if it has no such one.
    package func endpoint(on listener: String) -> Endpoint? {
        endpoints.first { $0.listener == listener } ?? endpoints.first
    }

    /// Whether it may lead partitions and be in in-sync sets.
    package var isEligible: Bool { isAdmitted && !isShuttingDown }
}

/// What is remembered of a node beyond its sessions.
package struct NodeRecord: Sendable, Equatable, Codable {
    /// What a node that starts may have lost of what it had on disk.
    package enum Loss: String, Sendable, Codable, Comparable {
        case nothing
        /// What only the page cache had: the machine, not just the process, went down.
        case unsynced
        /// Everything: the data folder is another one.
        case everything

        private var severity: Int {
            switch self {
            case .nothing: 0
            case .unsynced: 1
            case .everything: 2
            }
        }

        package static func < (left: Loss, right: Loss) -> Bool { left.severity < right.severity }
    }

    /// Rises with every registration.
    package var epoch: Int64
    package var incarnation: String
    /// The data folder's own id.
    package var directoryId: String
    /// What this life may lack of what the last one had.
    package var loss: Loss
    /// Whether the controller has taken note of this life and its loss.
    package var isAdmitted: Bool

    package init(epoch: Int64, incarnation: String, directoryId: String, loss: Loss, isAdmitted: Bool) {
        self.epoch = epoch
        self.incarnation = incarnation
        self.directoryId = directoryId
        self.loss = loss
        self.isAdmitted = isAdmitted
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

/// Who has a partition.
package struct PartitionMetadata: Sendable, Equatable {
    /// -1 while none of the in-sync replicas is there.
    package var leader: Int32
    /// Rises with every new leader.
    package var leaderEpoch: Int32
    /// Rises with every change.
    package var partitionEpoch: Int32
    /// In order of preference. During a reassignment those that join and those that leave are both among them.
    package var replicas: [Int32]
    /// Those that have every acknowledged record. Never empty: the last one stays, even when it is away.
    package var inSyncReplicas: [Int32]
    package var addingReplicas: [Int32]
    package var removingReplicas: [Int32]

    package init(
        leader: Int32, leaderEpoch: Int32 = 0, partitionEpoch: Int32 = 0, replicas: [Int32], inSyncReplicas: [Int32],
        addingReplicas: [Int32] = [], removingReplicas: [Int32] = []
    ) {
        self.leader = leader
        self.leaderEpoch = leaderEpoch
        self.partitionEpoch = partitionEpoch
        self.replicas = replicas
        self.inSyncReplicas = inSyncReplicas
        self.addingReplicas = addingReplicas
        self.removingReplicas = removingReplicas
    }

    package var isReassigned: Bool { !addingReplicas.isEmpty || !removingReplicas.isEmpty }
}

/// Topics that the brokers keep for themselves.
package enum InternalTopic {
    package static let consumerOffsets = "__consumer_offsets"
    package static let transactionState = "__transaction_state"
    package static let names: Set<String> = [consumerOffsets, transactionState]
}
