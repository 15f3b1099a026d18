import ClusterMetadata
import KafkaProtocol

extension MetadataImage {
    /// Those of the replicas whose broker is not there.
    func offline(_ replicas: [Int32]) -> [Int32] {
        replicas.filter { brokers[$0] == nil }
    }

    /// nil when there is no such partition, -1 while nobody leads it.
    func leader(of topic: String, _ partition: Int32) -> Int32? {
        guard let partitions = topics[topic]?.partitions, partitions.indices.contains(Int(partition)) else {
            return nil
        }
        return partitions[Int(partition)].leader
    }
}

extension Broker {
    /// Between two looks for a topic that the controller has made.
    private static let pollMilliseconds: Int64 = 5
    private static let polls = 400
    private static let creationTimeoutMilliseconds: Int64 = 10_000

    func hasPartition(_ topic: String, _ partition: Int32) -> Bool {
        cluster.image.leader(of: topic, partition) != nil
    }

    /// Has a topic made that is not there, by whoever is the controller, with the defaults. Then, or when that failed,
    /// `done` is called on some thread; whether the topic is there shows in the image.
    func ensureTopic(_ name: String, _ done: @escaping @Sendable () -> Void) {
        ensureTopics([name], done)
    }

    func ensureTopics(_ names: [String], _ done: @escaping @Sendable () -> Void) {
        let ready: @Sendable () -> Void = { [self] in
            // Behind the loading of the new partitions, so that the client's next request finds its group served.
            switch names.first {
            case InternalTopic.consumerOffsets: groups.shards.afterLoading(done)
            case InternalTopic.transactionState: transactions.shards.afterLoading(done)
            default: done()
            }
        }
        control.enqueue { [self] in
            if isController {
                for name in names { topicService.createAutomatically(name) }
                ready()
                return
            }
            let missing = names.filter { cluster.image.topic(named: $0) == nil }
            let controller = cluster.image.controllerId
            guard !missing.isEmpty, controller >= 0, controller != cluster.nodeId else {
                ready()
                return
            }
            var request = CreateTopicsRequest()
            request.timeoutMs = Int32(Self.creationTimeoutMilliseconds)
            request.topics = missing.map { name in
                var topic = CreateTopicsRequest.CreatableTopic()
                topic.name = name
                topic.numPartitions = -1
                topic.replicationFactor = -1
                return topic
            }
            peers.ask(controller, request, timeoutMilliseconds: Self.creationTimeoutMilliseconds) { [self] result in
                switch result {
                case .success(let response):
                    for topic in response.topics where topic.errorCode != 0 {
                        let code = ErrorCode(rawValue: topic.errorCode)
                        guard code != .topicAlreadyExists else { continue }
                        logger.warning(
                            "topic.not-created",
                            metadata: ["topic": "\(topic.name)", "error": "\(topic.errorMessage ?? "\(code)")"])
                    }
                    let made = response.topics.filter { topic in
                        topic.errorCode == 0 || ErrorCode(rawValue: topic.errorCode) == .topicAlreadyExists
                    }
                    awaitTopics(made.map(\.name), polls: Self.polls, ready)
                case .failure(let failure):
                    logger.warning(
                        "topic.not-created", metadata: ["topics": "\(missing)", "error": "\(failure)"])
                    ready()
                }
            }
        }
    }

    /// The news of a topic come a little after the controller's answer.
    private func awaitTopics(_ names: [String], polls: Int, _ done: @escaping @Sendable () -> Void) {
        let topics = topics
        if polls == 0 || names.allSatisfy({ topics.topic(named: $0) != nil }) {
            done()
        } else {
            control.schedule(afterMilliseconds: Self.pollMilliseconds) { [self] in
                awaitTopics(names, polls: polls - 1, done)
            }
        }
    }
}
