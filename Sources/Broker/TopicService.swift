import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import RecordFormat
import Replication

/// Makes, changes and removes topics: the metadata first, durably, then the logs, then what the data path sees. All
/// calls come from the control thread, but for `openAll` before anything else runs.
package final class TopicService: Sendable {
    private unowned let broker: Broker

    init(broker: Broker) {
        self.broker = broker
    }

    // MARK: Start

    /// Brings the logs on disk and the metadata together.
    func openAll() throws(NodeError) {
        var topics: [String: Topic] = [:]
        let image = broker.controller.image
        for topic in image.topics.values {
            topics[topic.name] = try opened(topic)
        }
        for log in broker.logs.allLogs where image.topics[log.name.topic] == nil {
            broker.logger.warning(
                "log.stray",
                metadata: [
                    "partition": "\(log.name)", "path": "\(log.directoryPath)",
                    "reason": "the metadata has no such topic; the files are left as they are",
                ])
        }
        broker.publish(topics)
    }

    private func opened(_ topic: TopicMetadata) throws(NodeError) -> Topic {
        do {
            return try makeTopic(topic)
        } catch {
            throw NodeError("topic \(topic.name): \(error)")
        }
    }

    // MARK: Topics

    package func create(_ request: NewTopic, validateOnly: Bool = false) throws(MetadataRefusal) -> TopicMetadata {
        let topic = try broker.controller.plan(request, defaults: broker.configuration, id: Uuid.random())
        guard !validateOnly else { return topic }
        try storing { () throws(MetadataStoreError) in try broker.controller.create(topic) }
        do {
            try publish(topic)
        } catch {
            // Half a topic would be worse than none: its logs would be taken for those of the next of this name.
            removeLogs(of: topic, from: 0)
            try storing { () throws(MetadataStoreError) in try broker.controller.deleteTopic(named: topic.name) }
            throw error
        }
        broker.logger.info(
            "topic.created", metadata: ["topic": "\(topic.name)", "partitions": "\(topic.partitions.count)"])
        return topic
    }

    /// For a client that asked for the topic's metadata. What goes wrong shows in the metadata that it gets.
    func createAutomatically(_ name: String) {
        guard broker.controller.image.topic(named: name) == nil else { return }
        do {
            switch name {
            case InternalTopic.consumerOffsets:
                try createInternal(name, settings: "offsets.topic")
                broker.groups.loadAll()
            case InternalTopic.transactionState:
                try createInternal(name, settings: "transaction.state.log")
                broker.transactions.loadAll()
            default:
                _ = try create(NewTopic(name: name, partitionCount: -1, replicationFactor: -1))
            }
        } catch {
            broker.logger.warning("topic.not-created", metadata: ["topic": "\(name)", "error": "\(error.message)"])
        }
    }

    /// A coordinator's topic, from the broker's configurations that begin with `settings`.
    private func createInternal(_ name: String, settings: String) throws(MetadataRefusal) {
        let configuration = broker.configuration
        var request = NewTopic(
            name: name,
            partitionCount: Int32(configuration.int("\(settings).num.partitions")),
            replicationFactor: Int16(
                min(configuration.int("\(settings).replication.factor"), broker.controller.image.brokers.count)))
        request.configuration = [
            ("cleanup.policy", "compact"), ("compression.type", "producer"),
            ("segment.bytes", configuration.string("\(settings).segment.bytes")),
            // What coordinators decide holds for topics of every durability.
            ("durability", "fsync"),
        ]
        _ = try create(request)
    }

    func delete(_ topic: TopicMetadata) throws(MetadataRefusal) {
        try storing { () throws(MetadataStoreError) in try broker.controller.deleteTopic(named: topic.name) }
        var topics = broker.topics.topics
        topics[topic.name] = nil
        broker.publish(topics)
        broker.groups.topicsChanged()
        removeLogs(of: topic, from: 0)
        broker.logger.info("topic.deleted", metadata: ["topic": "\(topic.name)"])
    }

    func addPartitions(
        to name: String, count: Int32, assignments: [[Int32]]?, validateOnly: Bool
    ) throws(MetadataRefusal) {
        let topic = try broker.controller.planPartitions(
            of: name, count: count, assignments: assignments, defaults: broker.configuration)
        if !validateOnly { try update(topic) }
    }

    /// Stores a topic whose partitions or configuration changed, and puts it to work.
    func update(_ topic: TopicMetadata) throws(MetadataRefusal) {
        let before = broker.controller.image.topic(named: topic.name)
        try storing { () throws(MetadataStoreError) in try broker.controller.update(topic) }
        do {
            try publish(topic)
        } catch {
            if let before {
                removeLogs(of: topic, from: before.partitions.count)
                try storing { () throws(MetadataStoreError) in try broker.controller.update(before) }
            }
            throw error
        }
    }

    func setBrokerConfiguration(_ values: ConfigurationValues, nodeId: Int32?) throws(MetadataRefusal) {
        try storing { () throws(MetadataStoreError) in
            try broker.controller.setBrokerConfiguration(values, nodeId: nodeId)
        }
        broker.applyDynamicConfiguration()
        var topics: [String: Topic] = [:]
        for topic in broker.controller.image.topics.values {
            do {
                topics[topic.name] = try makeTopic(topic)
            } catch {
                throw MetadataRefusal(.kafkaStorageError, "\(error)")
            }
        }
        broker.publish(topics)
    }

    // MARK: Helpers

    private func publish(_ topic: TopicMetadata) throws(MetadataRefusal) {
        var topics = broker.topics.topics
        do {
            topics[topic.name] = try makeTopic(topic)
        } catch {
            throw MetadataRefusal(.kafkaStorageError, "\(error)")
        }
        broker.publish(topics)
        broker.groups.topicsChanged()
    }

    /// The topic as the data path sees it. Logs that are not there are made.
    private func makeTopic(_ topic: TopicMetadata) throws(LogDirectoryError) -> Topic {
        let configuration = TopicConfiguration(topic.configuration, broker: broker.configuration)
        let isInternal = topic.isInternal
        let logConfiguration = LogConfiguration(configuration, isInternal: isInternal, broker: broker.configuration)
        var leaders: [PartitionLeader] = []
        for (index, partition) in topic.partitions.enumerated() {
            let name = PartitionName(topic: topic.name, partition: Int32(index))
            let log: Log
            try removeRemains(of: name, notOf: topic.id)
            if let existing = broker.logs.log(name) {
                log = existing
                log.updateConfiguration(logConfiguration)
                broker.partitions.leader(of: log)?.configurationChanged()
            } else {
                log = try broker.logs.createLog(
                    name, topicId: topic.id.description, configuration: logConfiguration,
                    now: broker.clock.wallMilliseconds)
            }
            leaders.append(
                broker.partitions.leader(of: log)
                    ?? broker.partitions.add(
                        topic: topic.name, id: topic.id, partition: Int32(index), log: log,
                        leaderEpoch: partition.leaderEpoch,
                        groupCommit: broker.groupCommit))
        }
        return Topic(
            name: topic.name, id: topic.id, isInternal: isInternal, leaders: leaders,
            rules: logConfiguration.recordBatchRules, maximumBatchBytes: logConfiguration.maximumMessageBytes,
            minimumInSyncReplicas: configuration.int("min.insync.replicas"))
    }

    /// A topic of the same name was deleted, and its files were not: they are not this topic's.
    private func removeRemains(of name: PartitionName, notOf id: Uuid) throws(LogDirectoryError) {
        guard let log = broker.logs.log(name) else { return }
        var owner = broker.partitions.topicId(of: log)
        if owner == nil { owner = try broker.logs.topicId(of: name).flatMap { Uuid($0) } }
        guard let owner, owner != id else { return }
        broker.logger.notice("log.remains-removed", metadata: ["partition": "\(name)", "topic.id": "\(owner)"])
        try removeLog(name)
    }

    private func removeLogs(of topic: TopicMetadata, from first: Int) {
        for index in first..<topic.partitions.count {
            let name = PartitionName(topic: topic.name, partition: Int32(index))
            do {
                try removeLog(name)
            } catch {
                broker.logger.error("log.not-deleted", metadata: ["partition": "\(name)", "error": "\(error)"])
            }
        }
    }

    /// Takes a log out of service and tells who waits on it.
    private func removeLog(_ name: PartitionName) throws(LogDirectoryError) {
        guard let log = broker.logs.log(name) else { return }
        let leader = broker.partitions.leader(of: log)
        defer { leader?.failed() }
        if let leader { broker.partitions.remove(leader) }
        let unique = Uuid.random().hyphenated.filter { $0 != "-" }
        try broker.logs.deleteLog(name, unique: unique, now: broker.clock.wallMilliseconds)
    }

    private func storing(_ body: () throws(MetadataStoreError) -> Void) throws(MetadataRefusal) {
        do {
            try body()
        } catch {
            broker.logger.error("metadata.not-stored", metadata: ["error": "\(error)"])
            throw MetadataRefusal(ErrorCode(error), "\(error)")
        }
    }
}

extension LogConfiguration {
    /// From a topic's configuration.
    package init(_ topic: TopicConfiguration, isInternal: Bool, broker: BrokerConfiguration) {
        self.init()
        segmentBytes = topic.long("segment.bytes")
        segmentMilliseconds = topic.long("segment.ms")
        let jitter = min(topic.long("segment.jitter.ms"), segmentMilliseconds)
        segmentJitterMilliseconds = jitter > 0 ? Int64.random(in: 0...jitter) : 0
        indexIntervalBytes = topic.long("index.interval.bytes")
        indexMaximumBytes = topic.long("segment.index.bytes")
        retentionBytes = topic.long("retention.bytes")
        retentionMilliseconds = topic.long("retention.ms")
        cleanupPolicy = []
        if topic.list("cleanup.policy").contains("delete") { cleanupPolicy.insert(.delete) }
        if topic.list("cleanup.policy").contains("compact") { cleanupPolicy.insert(.compact) }
        deleteRetentionMilliseconds = topic.long("delete.retention.ms")
        minimumCompactionLagMilliseconds = topic.long("min.compaction.lag.ms")
        maximumCompactionLagMilliseconds = topic.long("max.compaction.lag.ms")
        minimumCleanableDirtyRatio = topic.double("min.cleanable.dirty.ratio")
        fileDeleteDelayMilliseconds = topic.long("file.delete.delay.ms")
        // A coordinator's records are the broker's own; what limits them are the requests that they come from.
        maximumMessageBytes = isInternal ? Int(Int32.max) : topic.int("max.message.bytes")
        timestampType = topic.string("message.timestamp.type") == "LogAppendTime" ? .logAppendTime : .createTime
        timestampBeforeMaximum = topic.long("message.timestamp.before.max.ms")
        timestampAfterMaximum = topic.long("message.timestamp.after.max.ms")
        flushMessages = topic.long("flush.messages")
        flushMilliseconds = topic.long("flush.ms")
        preallocate = topic.bool("preallocate")
        durability = topic.string("durability") == "fsync" ? .fsync : .pageCache
        producerIdExpirationMilliseconds = broker.long("producer.id.expiration.ms")
        switch topic.string("compression.type") {
        case "uncompressed": compression = .codec(.none, level: nil)
        case "gzip": compression = .codec(.gzip, level: topic.int("compression.gzip.level"))
        case "snappy": compression = .codec(.snappy, level: nil)
        case "lz4": compression = .codec(.lz4, level: topic.int("compression.lz4.level"))
        case "zstd": compression = .codec(.zstd, level: topic.int("compression.zstd.level"))
        default: compression = .producer
        }
    }
}
