import Configuration
import KafkaProtocol
import Synchronization

/// Changes metadata: first in the store, durably, then in the image that requests are answered from.
///
/// Calls block on the store, so they come from the control thread, one at a time; reading the image is cheap and may
/// come from anywhere.
package final class ClusterController: Sendable {
    package let nodeId: Int32
    private let store: any MetadataStore
    private let state: Mutex<State>

    private struct State: Sendable {
        var image: MetadataImage
        var versions: [String: Int64]
        /// Collision key → topic names that have it.
        var collisions: [String: String] = [:]
    }

    /// Producer ids are handed out in blocks, so that one commit serves a thousand producers.
    private static let producerIdBlock: Int64 = 1000

    /// Reads the store. A new one has no cluster id; `establish` writes down the one that `newClusterId` gives.
    package init(
        store: any MetadataStore, registration: BrokerRegistration, newClusterId: () -> String
    ) throws(MetadataStoreError) {
        self.store = store
        self.nodeId = registration.nodeId
        var image = MetadataImage()
        var versions: [String: Int64] = [:]
        var collisions: [String: String] = [:]
        for entry in try store.entries() {
            versions[entry.key] = entry.version
            if entry.key == MetadataKey.cluster {
                image.clusterId = try entry.decoded(as: ClusterEntry.self).clusterId
            } else if entry.key.hasPrefix(MetadataKey.topicPrefix) {
                let name = String(entry.key.dropFirst(MetadataKey.topicPrefix.count))
                image.insert(try TopicMetadata(name: name, entry: entry))
                collisions[TopicName.collisionKey(name)] = name
            } else if entry.key.hasPrefix(MetadataKey.brokerConfigurationPrefix) {
                let name = String(entry.key.dropFirst(MetadataKey.brokerConfigurationPrefix.count))
                let values = try entry.decoded(as: [String: String].self)
                image.brokerConfigurations[Int32(name)] = try configurationValues(
                    values, BrokerConfigurations.byName, key: entry.key)
            }
        }
        if image.clusterId.isEmpty {
            image.clusterId = newClusterId()
        }
        image.brokers[registration.nodeId] = registration
        state = Mutex(State(image: image, versions: versions, collisions: collisions))
    }

    /// Whether the store was never established.
    package var isNew: Bool { state.withLock { $0.versions[MetadataKey.cluster] == nil } }

    /// Ends the making of a new store. Until then every start begins it again.
    package func establish() throws(MetadataStoreError) {
        try put(MetadataKey.cluster, encodeEntry(ClusterEntry(clusterId: image.clusterId))) { _ in }
    }

    package var image: MetadataImage {
        state.withLock { $0.image }
    }

    /// Where this node is reached, once its listener is bound.
    package func register(_ registration: BrokerRegistration) {
        state.withLock { $0.image.brokers[registration.nodeId] = registration }
    }

    package func close() {
        store.close()
    }

    // MARK: Topics

    /// Checks a new topic against the image; nothing is changed. Errors are the protocol's, with a message.
    package func plan(
        _ request: NewTopic, defaults: BrokerConfiguration, id: Uuid
    ) throws(MetadataRefusal) -> TopicMetadata {
        let state = state.withLock { $0 }
        if let objection = TopicName.objection(to: request.name) {
            throw MetadataRefusal(.invalidTopicException, objection)
        }
        if state.image.topics[request.name] != nil {
            throw MetadataRefusal(.topicAlreadyExists, "Topic '\(request.name)' already exists.")
        }
        if let other = state.collisions[TopicName.collisionKey(request.name)] {
            throw MetadataRefusal(
                .invalidTopicException,
                "Topic '\(request.name)' collides with existing topic '\(other)': they differ in '.' and '_' only.")
        }
        let brokers = state.image.brokers.keys.sorted()
        let partitions: [PartitionMetadata]
        if request.assignments.isEmpty {
            let count = request.partitionCount == -1 ? Int32(defaults.int("num.partitions")) : request.partitionCount
            guard count > 0 else {
                throw MetadataRefusal(.invalidPartitions, "Number of partitions must be larger than 0.")
            }
            let factor =
                request.replicationFactor == -1
                ? min(brokers.count, defaults.int("default.replication.factor")) : Int(request.replicationFactor)
            guard factor > 0 else {
                throw MetadataRefusal(.invalidReplicationFactor, "Replication factor must be larger than 0.")
            }
            guard factor <= brokers.count else {
                throw MetadataRefusal(
                    .invalidReplicationFactor,
                    "Unable to replicate the partition \(factor) time(s): there are \(brokers.count) broker(s).")
            }
            try checkCapacity(state.image, adding: Int(count), defaults)
            partitions = (0..<Int(count)).map { ClusterController.place($0, factor: factor, brokers: brokers) }
        } else {
            guard request.partitionCount == -1, request.replicationFactor == -1 else {
                throw MetadataRefusal(
                    .invalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set.")
            }
            try checkCapacity(state.image, adding: request.assignments.count, defaults)
            partitions = try ClusterController.partitions(request.assignments, from: 0, brokers: brokers)
        }
        var configuration = ConfigurationValues()
        for (name, value) in request.configuration {
            do {
                try configuration.set(name, to: value, in: TopicConfigurations.byName)
            } catch {
                throw MetadataRefusal(.invalidConfig, "\(error)")
            }
        }
        return TopicMetadata(name: request.name, id: id, partitions: partitions, configuration: configuration)
    }

    package func create(_ topic: TopicMetadata) throws(MetadataStoreError) {
        try put(MetadataKey.topic(topic.name), topic.entry) { state in
            state.image.insert(topic)
            state.collisions[TopicName.collisionKey(topic.name)] = topic.name
        }
    }

    package func deleteTopic(named name: String) throws(MetadataStoreError) {
        let key = MetadataKey.topic(name)
        var transaction = MetadataTransaction()
        transaction.require(key, version: state.withLock { $0.versions[key] ?? 0 })
        transaction.deletes = [key]
        try store.commit(transaction)
        state.withLock { state in
            state.versions[key] = nil
            state.image.removeTopic(named: name)
            state.collisions[TopicName.collisionKey(name)] = nil
        }
    }

    /// The topic with more partitions; nothing is changed.
    package func planPartitions(
        of name: String, count: Int32, assignments: [[Int32]]?, defaults: BrokerConfiguration
    ) throws(MetadataRefusal) -> TopicMetadata {
        let image = image
        guard var topic = image.topics[name] else {
            throw MetadataRefusal(.unknownTopicOrPartition, "There is no topic '\(name)'.")
        }
        let present = topic.partitions.count
        guard Int(count) > present else {
            throw MetadataRefusal(
                .invalidPartitions,
                "The topic \(name) currently has \(present) partition(s); \(count) would not be an increase.")
        }
        let added = Int(count) - present
        try checkCapacity(image, adding: added, defaults)
        let brokers = image.brokers.keys.sorted()
        if let assignments {
            guard assignments.count == added else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment,
                    "Attempted to add \(added) additional partition(s), but only \(assignments.count) assignment(s) "
                        + "were specified.")
            }
            let byIndex = Dictionary(uniqueKeysWithValues: assignments.enumerated().map { (Int32(present + $0), $1) })
            topic.partitions += try ClusterController.partitions(byIndex, from: present, brokers: brokers)
        } else {
            let factor = topic.partitions[0].replicas.count
            topic.partitions += (present..<Int(count)).map {
                ClusterController.place($0, factor: factor, brokers: brokers)
            }
        }
        return topic
    }

    /// Stores a topic whose partitions or configuration changed.
    package func update(_ topic: TopicMetadata) throws(MetadataStoreError) {
        try put(MetadataKey.topic(topic.name), topic.entry) { $0.image.insert(topic) }
    }

    // MARK: Configurations and producer ids

    package func setBrokerConfiguration(
        _ values: ConfigurationValues, nodeId: Int32?
    ) throws(MetadataStoreError) {
        try put(MetadataKey.brokerConfiguration(nodeId), encodeEntry(values.explicit)) {
            $0.image.brokerConfigurations[nodeId] = values
        }
    }

    /// A block of producer ids that nobody else will get, none below `minimum`.
    package func allocateProducerIds(from minimum: Int64 = 0) throws(MetadataStoreError) -> Range<Int64> {
        var next: Int64 = 0
        for entry in try store.entries() where entry.key == MetadataKey.producerIds {
            next = try entry.decoded(as: ProducerIdsEntry.self).next
        }
        next = max(next, minimum)
        let block = next..<(next + ClusterController.producerIdBlock)
        try put(MetadataKey.producerIds, encodeEntry(ProducerIdsEntry(next: block.upperBound))) { _ in }
        return block
    }

    // MARK: Helpers

    private func put(
        _ key: String, _ value: [UInt8], _ apply: (inout State) -> Void
    ) throws(MetadataStoreError) {
        let version = state.withLock { $0.versions[key] ?? 0 }
        var transaction = MetadataTransaction()
        transaction.require(key, version: version)
        transaction.put(key, value)
        try store.commit(transaction)
        state.withLock { state in
            state.versions[key] = version + 1
            apply(&state)
        }
    }

    private func checkCapacity(
        _ image: MetadataImage, adding count: Int, _ defaults: BrokerConfiguration
    ) throws(MetadataRefusal) {
        let limit = defaults.int("max.partitions")
        guard image.partitionCount + count <= limit else {
            throw MetadataRefusal(
                .policyViolation, "There are \(image.partitionCount) partitions; max.partitions allows \(limit).")
        }
    }

    /// Leaders go round the brokers, each partition's other replicas on the brokers after its leader's.
    private static func place(_ index: Int, factor: Int, brokers: [Int32]) -> PartitionMetadata {
        let replicas = (0..<factor).map { brokers[(index + $0) % brokers.count] }
        return PartitionMetadata(leader: replicas[0], leaderEpoch: 0, replicas: replicas, inSyncReplicas: replicas)
    }

    private static func partitions(
        _ assignments: [Int32: [Int32]], from first: Int, brokers: [Int32]
    ) throws(MetadataRefusal) -> [PartitionMetadata] {
        var partitions: [PartitionMetadata] = []
        var factor: Int?
        for index in first..<first + assignments.count {
            guard let replicas = assignments[Int32(index)] else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment, "Partitions must be a consecutive range; \(index) is missing.")
            }
            guard !replicas.isEmpty, Set(replicas).count == replicas.count else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment, "The replicas of partition \(index) are empty or name a broker twice.")
            }
            for replica in replicas where !brokers.contains(replica) {
                throw MetadataRefusal(.invalidReplicaAssignment, "There is no broker \(replica).")
            }
            guard factor == nil || factor == replicas.count else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment, "All partitions must have the same number of replicas.")
            }
            factor = replicas.count
            partitions.append(
                PartitionMetadata(leader: replicas[0], leaderEpoch: 0, replicas: replicas, inSyncReplicas: replicas))
        }
        return partitions
    }
}

/// A topic that somebody asks for; -1 stands for the broker's default.
package struct NewTopic: Sendable {
    package var name: String
    package var partitionCount: Int32
    package var replicationFactor: Int16
    package var assignments: [Int32: [Int32]] = [:]
    package var configuration: [(name: String, value: String)] = []

    package init(name: String, partitionCount: Int32, replicationFactor: Int16) {
        self.name = name
        self.partitionCount = partitionCount
        self.replicationFactor = replicationFactor
    }
}

/// Why a change of metadata is refused, as the protocol says it.
package struct MetadataRefusal: Error, Sendable {
    package let code: ErrorCode
    package let message: String

    package init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}
