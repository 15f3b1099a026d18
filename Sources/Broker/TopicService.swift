import ClusterMetadata
import Configuration
import KafkaProtocol
import Logging

/// Changes topics and configurations, as the controller: in the store first, durably, and from there to the partitions of
/// this node and, with the news of it, of the others. All calls come from the control thread.
package final class TopicService: Sendable {
    private unowned let broker: Broker

    init(broker: Broker) {
        self.broker = broker
    }

    package func create(_ request: NewTopic, validateOnly: Bool = false) throws(MetadataRefusal) -> TopicMetadata {
        var generator = broker.environment.generator
        let image = broker.cluster.image
        let id = Uuid.random(using: &generator)
        let topic = try image.plan(request, defaults: broker.configuration, id: id, using: &generator)
        guard !validateOnly else { return topic }
        try change { $0.put(topic, over: image) }
        if let failure = ownFailure(of: topic.name) {
            // Half a topic would be worse than none: its logs would be taken for those of the next of this name.
            try delete(topic)
            throw MetadataRefusal(.kafkaStorageError, failure)
        }
        broker.logger.info(
            "topic.created", metadata: ["topic": "\(topic.name)", "partitions": "\(topic.partitions.count)"])
        return topic
    }

    /// For a client that asked for the topic's metadata. What goes wrong shows in the metadata that it gets.
    func createAutomatically(_ name: String) {
        guard broker.cluster.image.topic(named: name) == nil else { return }
        do {
            if InternalTopic.names.contains(name) {
                _ = try createInternal(name)
            } else {
                _ = try create(NewTopic(name: name, partitionCount: -1, replicationFactor: -1))
            }
        } catch {
            broker.logger.warning("topic.not-created", metadata: ["topic": "\(name)", "error": "\(error.message)"])
        }
    }

    /// A coordinator's topic, as the broker's configurations want it.
    func createInternal(_ name: String) throws(MetadataRefusal) -> TopicMetadata {
        let configuration = broker.configuration
        let settings = name == InternalTopic.transactionState ? "transaction.state.log" : "offsets.topic"
        let factor = configuration.int("\(settings).replication.factor")
        var request = NewTopic(
            name: name, partitionCount: Int32(configuration.int("\(settings).num.partitions")),
            // A node that is alone will stay so; a cluster's other nodes may yet come.
            replicationFactor: Int16(broker.isClustered ? factor : 1))
        request.configuration = [
            ("cleanup.policy", "compact"), ("compression.type", "producer"),
            ("segment.bytes", configuration.string("\(settings).segment.bytes")),
            // What coordinators decide holds for topics of every durability.
            ("durability", "fsync"),
        ]
        if broker.isClustered {
            let minimum =
                name == InternalTopic.transactionState
                ? configuration.int("transaction.state.log.min.isr") : configuration.int("min.insync.replicas")
            request.configuration.append(("min.insync.replicas", "\(min(factor, max(minimum, factor > 2 ? 2 : 1)))"))
        }
        return try create(request)
    }

    func delete(_ topic: TopicMetadata) throws(MetadataRefusal) {
        let image = broker.cluster.image
        try change { $0.deleteTopic(named: topic.name, from: image) }
        broker.logger.info("topic.deleted", metadata: ["topic": "\(topic.name)"])
    }

    func addPartitions(
        to name: String, count: Int32, assignments: [[Int32]]?, validateOnly: Bool
    ) throws(MetadataRefusal) {
        var generator = broker.environment.generator
        let topic = try broker.cluster.image.planPartitions(
            of: name, count: count, assignments: assignments, defaults: broker.configuration, using: &generator)
        if !validateOnly { try update(topic) }
    }

    /// Stores a topic whose partitions or configuration changed, and puts it to work.
    func update(_ topic: TopicMetadata) throws(MetadataRefusal) {
        let image = broker.cluster.image
        let before = image.topic(named: topic.name)
        try change { $0.put(topic, over: image) }
        if let before, let failure = ownFailure(of: topic.name) {
            let failed = broker.cluster.image
            try change { $0.put(before, over: failed) }
            throw MetadataRefusal(.kafkaStorageError, failure)
        }
    }

    /// Why this node cannot hold the topic, where that undoes a change. In a cluster it does not: once stored, the others
    /// serve the topic and may have acknowledged records of it, and this node's replica is one that failed.
    private func ownFailure(of topic: String) -> String? {
        broker.isClustered ? nil : broker.partitionService.failure(of: topic)
    }

    func setBrokerConfiguration(_ values: ConfigurationValues, nodeId: Int32?) throws(MetadataRefusal) {
        let image = broker.cluster.image
        try change { $0.put(values, ofBroker: nodeId, over: image) }
    }

    /// Stores what `build` puts together, if this node is the controller, and puts it to work.
    func change(_ build: (inout MetadataTransaction) -> Void) throws(MetadataRefusal) {
        try store(build)
        broker.partitionService.reconcile()
    }

    /// As `change`, for callers who put it to work themselves.
    func store(_ build: (inout MetadataTransaction) -> Void) throws(MetadataRefusal) {
        guard broker.isController else {
            throw MetadataRefusal(.notController, "Broker \(broker.cluster.nodeId) is not the controller.")
        }
        var transaction = MetadataTransaction()
        transaction.requireController(broker.cluster.image)
        build(&transaction)
        do throws(MetadataStoreError) {
            try broker.cluster.commit(transaction)
        } catch {
            // Somebody else has become the controller, or the store is away, which is told elsewhere.
            let isLoud = if case .corrupt = error { true } else { !broker.isClustered }
            broker.logger.log(level: isLoud ? .error : .warning, "metadata.not-stored", metadata: ["error": "\(error)"])
            throw MetadataRefusal(ErrorCode(error), "\(error)")
        }
    }
}
