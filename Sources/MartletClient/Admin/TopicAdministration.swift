import KafkaProtocol

/// A topic that is to be made.
public struct NewTopic: Sendable, Hashable {
    /// Its name: letters, digits, `.`, `_` and `-`, 249 at the most.
    public var name: String
    /// nil: as many as the broker's `num.partitions`.
    public var partitionCount: Int32?
    /// nil: the broker's `default.replication.factor`.
    public var replicationFactor: Int16?
    /// The brokers of each partition's replicas, the preferred leader first; instead of the two numbers.
    public var replicaAssignments: [[Int32]]?
    /// Topic configurations by Kafka's names.
    public var configuration: [String: String]

    /// A topic whose replicas the cluster places.
    public init(
        _ name: String, partitionCount: Int32? = nil, replicationFactor: Int16? = nil,
        configuration: [String: String] = [:]
    ) {
        self.name = name
        self.partitionCount = partitionCount
        self.replicationFactor = replicationFactor
        self.configuration = configuration
    }

    /// A topic whose replicas are placed by hand.
    public init(_ name: String, replicaAssignments: [[Int32]], configuration: [String: String] = [:]) {
        self.init(name, configuration: configuration)
        self.replicaAssignments = replicaAssignments
    }
}

/// A topic that was made.
public struct CreatedTopic: Sendable, Hashable {
    /// Its name.
    public let name: String
    /// Kafka's text of its id; another topic of the same name has another.
    public let id: String
    /// nil when the broker is too old to say.
    public let partitionCount: Int32?
    /// nil when the broker is too old to say.
    public let replicationFactor: Int16?
}

/// A topic and where its partitions are.
public struct TopicDescription: Sendable, Hashable {
    /// One partition.
    public struct Partition: Sendable, Hashable {
        /// Its number, from 0.
        public let number: Int32
        /// nil while nobody leads it.
        public let leader: Int32?
        /// Grows with each change of the leader.
        public let leaderEpoch: Int32
        /// The brokers that have it, the preferred leader first.
        public let replicas: [Int32]
        /// Those that have all that is acknowledged.
        public let inSyncReplicas: [Int32]
        /// Those that cannot be reached, or whose disk has failed.
        public let offlineReplicas: [Int32]
    }

    /// Its name.
    public let name: String
    /// Kafka's text of its id.
    public let id: String
    /// Whether coordinators keep their state in it.
    public let isInternal: Bool
    /// By number.
    public let partitions: [Partition]
}

extension Admin {
    /// Makes topics. With `validateOnly` nothing is made, but what would fail fails.
    public func createTopics(
        _ topics: [NewTopic], validateOnly: Bool = false
    ) async throws(ClientError) -> Results<String, CreatedTopic> {
        let byName = Dictionary(topics.map { ($0.name, $0) }) { $1 }
        guard byName.count == topics.count else {
            throw ClientError(.invalidArgument, "a topic's name comes twice")
        }
        let (cluster, timeout) = (cluster, timeoutMilliseconds)
        return try await batched(byName.keys, along: .controller) { open async throws(ClientError) in
            var request = CreateTopicsRequest()
            request.topics = open.map { byName[$0]!.wire }
            request.timeoutMs = timeout
            request.validateOnly = validateOnly
            let response = try await cluster.connection(.controller).send(request)
            var results: Results<String, CreatedTopic> = [:]
            for topic in response.topics {
                results[topic.name] = .of(
                    ClientError.from(topic.errorCode, "topic '\(topic.name)'", message: topic.errorMessage),
                    CreatedTopic(
                        name: topic.name, id: "\(topic.topicId)",
                        partitionCount: topic.numPartitions >= 0 ? topic.numPartitions : nil,
                        replicationFactor: topic.replicationFactor >= 0 ? topic.replicationFactor : nil))
            }
            return results
        }
    }

    /// Makes one topic. Throws `refused`.
    @discardableResult
    public func createTopic(_ topic: NewTopic) async throws(ClientError) -> CreatedTopic {
        try await createTopics([topic]).only(topic.name)
    }

    /// All topics, by name.
    public func topics(includingInternal: Bool = false) async throws(ClientError) -> [TopicDescription] {
        let response = try await cluster.retrying { () async throws(ClientError) in
            try await cluster.refreshMetadata(of: nil)
        }
        return response.topics.compactMap { topic in
            topic.errorCode == 0 && (includingInternal || !topic.isInternal) ? TopicDescription(topic) : nil
        }.sorted { $0.name < $1.name }
    }

    /// Some topics; one that is not there fails with UNKNOWN_TOPIC_OR_PARTITION.
    public func describeTopics(_ names: [String]) async throws(ClientError) -> Results<String, TopicDescription> {
        let cluster = cluster
        return try await batched(names) { open async throws(ClientError) in
            let response = try await cluster.refreshMetadata(of: open)
            var results: Results<String, TopicDescription> = [:]
            for topic in response.topics {
                guard let name = topic.name else { continue }
                results[name] = .of(ClientError.from(topic.errorCode, "topic '\(name)'"), TopicDescription(topic))
            }
            return results
        }
    }

    /// One topic. Throws `refused` with UNKNOWN_TOPIC_OR_PARTITION when there is none.
    public func describeTopic(_ name: String) async throws(ClientError) -> TopicDescription {
        try await describeTopics([name]).only(name)
    }

    /// Deletes topics with all their records.
    public func deleteTopics(_ names: [String]) async throws(ClientError) -> Results<String, Void> {
        let (cluster, timeout) = (cluster, timeoutMilliseconds)
        return try await batched(names, along: .controller) { open async throws(ClientError) in
            let connection = try await cluster.connection(.controller)
            var request = DeleteTopicsRequest()
            // From version 6 on a list of structs, before one of names.
            if (connection.version(of: DeleteTopicsRequest.self) ?? 0) >= 6 {
                request.topics = open.map { name in
                    var topic = DeleteTopicsRequest.DeleteTopicState()
                    topic.name = name
                    return topic
                }
            } else {
                request.topicNames = open
            }
            request.timeoutMs = timeout
            let response = try await connection.send(request)
            var results: Results<String, Void> = [:]
            for topic in response.responses {
                guard let name = topic.name else { continue }
                results[name] = .of(
                    ClientError.from(topic.errorCode, "topic '\(name)'", message: topic.errorMessage), ())
            }
            return results
        }
    }

    /// Gives topics more partitions: the number that each has afterwards. Keys go to other partitions from then on.
    public func createPartitions(
        _ counts: [String: Int32], validateOnly: Bool = false
    ) async throws(ClientError) -> Results<String, Void> {
        let (cluster, timeout) = (cluster, timeoutMilliseconds)
        return try await batched(counts.keys, along: .controller) { open async throws(ClientError) in
            var request = CreatePartitionsRequest()
            request.topics = open.map { name in
                var topic = CreatePartitionsRequest.CreatePartitionsTopic()
                topic.name = name
                topic.count = counts[name]!
                topic.assignments = nil
                return topic
            }
            request.timeoutMs = timeout
            request.validateOnly = validateOnly
            let response = try await cluster.connection(.controller).send(request)
            var results: Results<String, Void> = [:]
            for topic in response.results {
                results[topic.name] = .of(
                    ClientError.from(topic.errorCode, "topic '\(topic.name)'", message: topic.errorMessage), ())
            }
            return results
        }
    }
}

extension NewTopic {
    fileprivate var wire: CreateTopicsRequest.CreatableTopic {
        var topic = CreateTopicsRequest.CreatableTopic()
        topic.name = name
        topic.numPartitions = partitionCount ?? -1
        topic.replicationFactor = replicationFactor ?? -1
        topic.assignments = (replicaAssignments ?? []).enumerated().map { number, brokers in
            var assignment = CreateTopicsRequest.CreatableReplicaAssignment()
            assignment.partitionIndex = Int32(number)
            assignment.brokerIds = brokers
            return assignment
        }
        topic.configs = configuration.sorted { $0.key < $1.key }.map { entry in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            config.name = entry.key
            config.value = entry.value
            return config
        }
        return topic
    }
}

extension TopicDescription {
    fileprivate init(_ topic: MetadataResponse.MetadataResponseTopic) {
        name = topic.name ?? ""
        id = "\(topic.topicId)"
        isInternal = topic.isInternal
        partitions = topic.partitions.sorted { $0.partitionIndex < $1.partitionIndex }.map { partition in
            Partition(
                number: partition.partitionIndex, leader: partition.leaderId >= 0 ? partition.leaderId : nil,
                leaderEpoch: partition.leaderEpoch, replicas: partition.replicaNodes,
                inSyncReplicas: partition.isrNodes, offlineReplicas: partition.offlineReplicas)
        }
    }
}
