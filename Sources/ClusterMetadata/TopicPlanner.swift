import Configuration
import KafkaProtocol

/// Checks what is asked for topics against the image. Nothing is changed here; errors are the protocol's, with a
/// message.
extension MetadataImage {
    /// Checks a new topic against the image; nothing is changed. Errors are the protocol's, with a message.
    package func plan(
        _ request: NewTopic, defaults: BrokerConfiguration, id: Uuid,
        using generator: inout some RandomNumberGenerator
    ) throws(MetadataRefusal) -> TopicMetadata {
        if let objection = TopicName.objection(to: request.name) {
            throw MetadataRefusal(.invalidTopicException, objection)
        }
        if topics[request.name] != nil {
            throw MetadataRefusal(.topicAlreadyExists, "Topic '\(request.name)' already exists.")
        }
        if let other = collisions[TopicName.collisionKey(request.name)] {
            throw MetadataRefusal(
                .invalidTopicException,
                "Topic '\(request.name)' collides with existing topic '\(other)': they differ in '.' and '_' only.")
        }
        let partitions: [PartitionMetadata]
        if request.assignments.isEmpty {
            let count = request.partitionCount == -1 ? Int32(defaults.int("num.partitions")) : request.partitionCount
            guard count > 0 else {
                throw MetadataRefusal(.invalidPartitions, "Number of partitions must be larger than 0.")
            }
            let factor =
                request.replicationFactor == -1
                ? min(knownBrokerCount, defaults.int("default.replication.factor")) : Int(request.replicationFactor)
            guard factor > 0 else {
                throw MetadataRefusal(.invalidReplicationFactor, "Replication factor must be larger than 0.")
            }
            try checkCapacity(adding: Int(count), defaults)
            partitions = try place(partitions: Int(count), factor: factor, using: &generator)
        } else {
            guard request.partitionCount == -1, request.replicationFactor == -1 else {
                throw MetadataRefusal(
                    .invalidRequest, "Both numPartitions or replicationFactor and replicasAssignments were set.")
            }
            try checkCapacity(adding: request.assignments.count, defaults)
            partitions = try assigned(request.assignments, from: 0)
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

    /// The topic with more partitions; nothing is changed.
    package func planPartitions(
        of name: String, count: Int32, assignments: [[Int32]]?, defaults: BrokerConfiguration,
        using generator: inout some RandomNumberGenerator
    ) throws(MetadataRefusal) -> TopicMetadata {
        guard var topic = topics[name] else {
            throw MetadataRefusal(.unknownTopicOrPartition, "There is no topic '\(name)'.")
        }
        let present = topic.partitions.count
        guard Int(count) > present else {
            throw MetadataRefusal(
                .invalidPartitions,
                "The topic \(name) currently has \(present) partition(s); \(count) would not be an increase.")
        }
        let added = Int(count) - present
        try checkCapacity(adding: added, defaults)
        let factor = topic.partitions[0].targetReplicas.count
        if let assignments {
            guard assignments.count == added else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment,
                    "Attempted to add \(added) additional partition(s), but only \(assignments.count) assignment(s) "
                        + "were specified.")
            }
            let byIndex = Dictionary(uniqueKeysWithValues: assignments.enumerated().map { (Int32(present + $0), $1) })
            topic.partitions += try assigned(byIndex, from: present, factor: factor)
        } else {
            topic.partitions += try place(partitions: added, factor: factor, using: &generator)
        }
        return topic
    }

    // MARK: Helpers

    private func checkCapacity(
        adding count: Int, _ defaults: BrokerConfiguration
    ) throws(MetadataRefusal) {
        let limit = defaults.int("max.partitions")
        guard partitionCount + count <= limit else {
            throw MetadataRefusal(
                .policyViolation, "There are \(partitionCount) partitions; max.partitions allows \(limit).")
        }
    }

    private var knownBrokerCount: Int { Set(brokers.keys).union(nodes.keys).count }

    private func place(
        partitions: Int, factor: Int, using generator: inout some RandomNumberGenerator
    ) throws(MetadataRefusal) -> [PartitionMetadata] {
        let eligible = brokers.values.filter(\.isEligible)
        guard factor <= eligible.count else {
            throw MetadataRefusal(
                .invalidReplicationFactor,
                "Unable to replicate the partition \(factor) time(s): \(eligible.count) of \(knownBrokerCount) "
                    + "known broker(s) can take replicas now.")
        }
        return ReplicaPlacement(eligible).place(partitions: partitions, factor: factor, using: &generator).map {
            PartitionMetadata(leader: $0[0], leaderEpoch: 0, replicas: $0, inSyncReplicas: $0)
        }
    }

    /// The partitions of a manual assignment; replicas that are away are not in sync.
    private func assigned(
        _ assignments: [Int32: [Int32]], from first: Int, factor: Int? = nil
    ) throws(MetadataRefusal) -> [PartitionMetadata] {
        var partitions: [PartitionMetadata] = []
        var factor = factor
        for index in first..<first + assignments.count {
            guard let replicas = assignments[Int32(index)] else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment, "Partitions must be a consecutive range; \(index) is missing.")
            }
            try checkReplicas(replicas)
            guard factor == nil || factor == replicas.count else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment, "All partitions must have the same number of replicas.")
            }
            factor = replicas.count
            let inSync = replicas.filter { brokers[$0]?.isEligible == true }
            guard let leader = inSync.first else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment,
                    "All brokers specified in the manual partition assignment for partition \(index) are fenced or in "
                        + "controlled shutdown.")
            }
            partitions.append(
                PartitionMetadata(leader: leader, leaderEpoch: 0, replicas: replicas, inSyncReplicas: inSync))
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
