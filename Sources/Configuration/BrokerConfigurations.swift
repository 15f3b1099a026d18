/// The configurations of a broker, with Kafka's names and, but for what `departure` says, its defaults.
package enum BrokerConfigurations {
    package static let all: [ConfigurationDefinition] =
        identity + cluster + limits + topics + topicDefaults + logs + groups + producers + withoutEffect

    package static let byName: [String: ConfigurationDefinition] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.name, $0) })

    private static let identity: [ConfigurationDefinition] = [
        broker(
            "node.id", .naturalInt, default: "1", departure: "One node needs no configuration file to start.",
            "This node's id, unique in the cluster."),
        broker(
            "broker.id", .int(-1...Int64(Int32.max)), default: "-1", "Older name of node.id; -1 leaves it to node.id."),
        broker("broker.rack", .string, default: nil, "The rack or zone of this node."),
        broker(
            "listeners", .list(of: []), default: "PLAINTEXT://:9092",
            "Where clients connect: PLAINTEXT://HOST:PORT; an empty host is every address."),
        broker(
            "advertised.listeners", .list(of: []), default: nil,
            "What clients are told to connect to; by default the listener, with this machine's name for an empty host."),
        broker(
            "log.dirs", .list(of: []), default: nil, "The folder of the data; stands before log.dir."),
        broker(
            "log.dir", .string, default: "martlet-data",
            departure: "Kafka's is below /tmp, which a reboot empties.", "The folder of the data."),
        broker(
            "metrics.listener", .string, default: nil, departure: "Martlet's own.",
            "HOST:PORT of the HTTP server for /metrics and /health; none by default."),
        broker(
            "log.level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]),
            default: "info", departure: "Martlet's own; Kafka's is in a file of its logging library.",
            "The least severe message that is logged."),
    ]

    private static let limits: [ConfigurationDefinition] = [
        broker(
            "num.network.threads", .naturalInt, default: "0",
            departure: "0 is half of the processors, one at least: fewer, busier threads cost less for each request.",
            "Threads that serve connections; requests run on them to their end."),
        broker("socket.request.max.bytes", .positiveInt, default: "104857600", "The largest request accepted."),
        broker(
            "socket.receive.buffer.bytes", .int(-1...Int64(Int32.max)), default: "102400",
            "SO_RCVBUF; -1 leaves it to the kernel."),
        broker(
            "socket.send.buffer.bytes", .int(-1...Int64(Int32.max)), default: "102400",
            "SO_SNDBUF; -1 leaves it to the kernel."),
        broker(
            "socket.listen.backlog.size", .positiveInt, default: "1024",
            departure: "Kafka's is 50; beyond it, clients that come in a burst wait a second for their second try.",
            "Connections that wait to be accepted."),
        broker(
            "connections.max.idle.ms", .anyLong, default: "600000",
            "A connection without a request for so long is closed."),
        broker(
            "max.connections", .naturalInt, default: "16384",
            departure: "Kafka's is 2147483647; a limit that holds is safer.", "Connections served at a time."),
        broker(
            "max.connections.per.ip", .naturalInt, default: "2147483647",
            "Connections served at a time from one address."),
        broker(
            "queued.max.requests", .positiveInt, default: "500",
            "Requests of one connection that may wait for their reply before no more is read from it."),
        broker(
            "queued.max.request.bytes", .long(-1...Int64.max), default: "1073741824",
            departure: "Kafka's is -1, no limit; then clients that begin large requests could fill the memory.",
            "Bytes of requests that have not come whole, of all connections; -1 for no limit."),
        broker(
            "queued.max.response.bytes", .positiveLong, default: "8388608", departure: "Martlet's own.",
            "Bytes of replies that one connection may leave unread before no more is read from it."),
        broker(
            "fetch.max.bytes", .int(1024...Int64(Int32.max)), default: "57671680", "The most that one fetch returns."),
        broker(
            "max.incremental.fetch.session.cache.slots", .naturalInt, default: "1000", "Fetch sessions kept (KIP-227)."),
        broker(
            "max.request.partition.size.limit", .positiveInt, default: "2000",
            "Partitions in one DescribeTopicPartitions reply."),
        broker(
            "max.decompressed.batch.bytes", .positiveInt, default: "134217728", departure: "Martlet's own.",
            "What one compressed batch may grow to when it is checked; beyond it, it is refused."),
        broker(
            "request.timeout.ms", .positiveInt, default: "30000", "The longest that a broker waits for another one."),
        broker(
            "controlled.shutdown.enable", .boolean, default: "true",
            "On SIGTERM, finish what was begun and close the logs cleanly."),
    ]

    private static let topics: [ConfigurationDefinition] = [
        broker(
            "auto.create.topics.enable", .boolean, default: "true",
            "Make a topic when a client asks for one that is not there."),
        broker("num.partitions", .positiveInt, default: "1", "Partitions of a topic whose creator names no number."),
        broker(
            "default.replication.factor", .positiveInt, default: "1",
            "Replicas of a topic whose creator names no number."),
        broker("delete.topic.enable", .boolean, default: "true", "Whether topics may be deleted."),
        broker(
            "max.partitions", .positiveInt, default: "100000", departure: "Martlet's own.",
            "Partitions this node holds at most."),
    ]

    /// What a topic gets that does not set the configuration itself.
    private static let topicDefaults: [ConfigurationDefinition] = TopicConfigurations.all.compactMap { topic in
        guard let name = topic.brokerName else { return nil }
        // Kafka leaves these unset because older names (hours, minutes) stand behind them.
        let unset = ["log.retention.ms", "log.roll.ms", "log.roll.jitter.ms", "log.flush.interval.ms"]
        return ConfigurationDefinition(
            name, .broker, topic.type, default: unset.contains(name) ? nil : topic.defaultValue, update: .atRunTime,
            departure: topic.departure, "Default of the topics' \(topic.name). \(topic.summary)")
    }

    private static let logs: [ConfigurationDefinition] = [
        broker(
            "log.retention.hours", .anyInt, default: "168",
            "How long records are kept; log.retention.minutes and .ms stand before it."),
        broker(
            "log.retention.minutes", .anyInt, default: nil,
            "How long records are kept; log.retention.ms stands before it."),
        broker(
            "log.roll.hours", .positiveInt, default: "168",
            "Age at which a segment is closed; log.roll.ms stands before it."),
        broker(
            "log.roll.jitter.hours", .naturalInt, default: "0",
            "Random part of log.roll.hours; log.roll.jitter.ms stands before it."),
        broker(
            "log.retention.check.interval.ms", .positiveLong, default: "300000",
            "Time between two looks for segments to drop."),
        broker("log.cleaner.enable", .boolean, default: "true", "Whether compaction runs."),
        broker(
            "log.cleaner.backoff.ms", .naturalLong, default: "15000", update: .atRunTime,
            "Time between two looks for logs to compact."),
        broker(
            "log.cleaner.dedupe.buffer.size", .long(1_048_576...Int64.max), default: "134217728", update: .atRunTime,
            "Memory for the keys that one compaction looks at."),
        broker(
            "log.cleaner.io.max.bytes.per.second", .double(1...Double.greatestFiniteMagnitude),
            default: "1.7976931348623157E308", update: .atRunTime, "What compaction may read and write in a second."),
        broker(
            "log.flush.offset.checkpoint.interval.ms", .naturalInt, default: "60000",
            "Time between two writes of the recovery points."),
        broker(
            "log.flush.start.offset.checkpoint.interval.ms", .naturalInt, default: "60000",
            "Time between two writes of the log start offsets."),
        broker(
            "num.recovery.threads.per.data.dir", .naturalInt, default: "0",
            departure: "0 is one for each processor: nothing else runs yet.",
            "Threads that check the logs after an unclean stop."),
    ]

    private static let groups: [ConfigurationDefinition] = [
        broker(
            "group.initial.rebalance.delay.ms", .naturalInt, default: "3000",
            "How long a new group waits for more members before its first assignment."),
        broker(
            "group.min.session.timeout.ms", .naturalInt, default: "6000", "The shortest session a member may ask for."),
        broker(
            "group.max.session.timeout.ms", .naturalInt, default: "1800000", "The longest session a member may ask for."
        ),
        broker("group.max.size", .positiveInt, default: "2147483647", "Members of a classic group."),
        broker(
            "group.coordinator.rebalance.protocols", .list(of: ["classic", "consumer"]), default: "classic,consumer",
            departure: "As in Kafka 4.0.", "The group protocols offered."),
        broker(
            "group.consumer.session.timeout.ms", .positiveInt, default: "45000",
            "Session of a consumer group's member (KIP-848)."),
        broker("group.consumer.heartbeat.interval.ms", .positiveInt, default: "5000", "Time between its heartbeats."),
        broker("group.consumer.max.size", .positiveInt, default: "2147483647", "Members of a consumer group."),
        broker(
            "group.consumer.assignors", .list(of: ["uniform", "range"]), default: "uniform,range",
            departure: "The names instead of Java classes.", "The server-side assignors; the first is the default."),
        broker(
            "offset.metadata.max.bytes", .naturalInt, default: "4096",
            "The longest text that may go with a committed offset."),
        broker(
            "offsets.retention.minutes", .positiveInt, default: "10080",
            "How long the offsets of an empty group are kept."),
        broker(
            "offsets.retention.check.interval.ms", .positiveLong, default: "600000",
            "Time between two looks for expired offsets."),
        broker("offsets.topic.num.partitions", .positiveInt, default: "50", "Partitions of __consumer_offsets."),
        broker(
            "offsets.topic.replication.factor", .short(1...Int64(Int16.max)), default: "3",
            "Replicas of __consumer_offsets, at most one on each broker there is."),
        broker(
            "offsets.topic.segment.bytes", .positiveInt, default: "104857600", "Segment size of __consumer_offsets."),
        broker(
            "offsets.commit.timeout.ms", .positiveInt, default: "5000",
            "The longest that a commit waits for its replicas."),
    ]

    private static let producers: [ConfigurationDefinition] = [
        broker(
            "producer.id.expiration.ms", .positiveInt, default: "86400000",
            "How long an idle idempotent producer is remembered."),
        broker(
            "transaction.max.timeout.ms", .positiveInt, default: "900000",
            "The longest transaction a producer may ask for."),
        broker(
            "transactional.id.expiration.ms", .positiveInt, default: "604800000",
            "How long a transactional id without transactions is remembered."),
        broker(
            "transaction.remove.expired.transaction.cleanup.interval.ms", .positiveInt, default: "3600000",
            "Time between two looks for expired transactional ids."),
        broker(
            "transaction.state.log.num.partitions", .positiveInt, default: "50", "Partitions of __transaction_state."),
        broker(
            "transaction.state.log.replication.factor", .short(1...Int64(Int16.max)), default: "3",
            "Replicas of __transaction_state, at most one on each broker there is."),
        broker(
            "transaction.state.log.segment.bytes", .positiveInt, default: "104857600",
            "Segment size of __transaction_state."),
    ]

    private static let withoutEffect: [ConfigurationDefinition] = [
        none("num.io.threads", .positiveInt, "8", "requests run on the network threads"),
        none("background.threads", .positiveInt, "10", "there is one thread for each kind of background work"),
        none("log.cleaner.threads", .naturalInt, "1", "there is one thread for compaction"),
        none("log.cleaner.io.buffer.size", .naturalInt, "524288", "the size is fixed"),
        none("log.cleaner.io.buffer.load.factor", .double(0...1), "0.9", "the key map grows by itself"),
        none(
            "log.flush.scheduler.interval.ms", .anyLong, "9223372036854775807",
            "flush.ms is looked at every second"),
        none("log.message.downconversion.enable", .boolean, "true", "only record batch v2 is stored and served"),
        none("log.message.format.version", .string, "3.0-IV1", "only record batch v2 is stored and served"),
        none(
            "inter.broker.protocol.version", .string, "3.9-IV0", "nodes of a cluster run the same release, or the next"),
        none("zookeeper.connect", .string, "", "there is no ZooKeeper"),
        none("process.roles", .list(of: []), "broker,controller", "one node is both"),
        none("controller.quorum.voters", .list(of: []), "", "metadata is kept in the data folder"),
        none("controller.listener.names", .list(of: []), "", "metadata is kept in the data folder"),
        none("listener.security.protocol.map", .string, "PLAINTEXT:PLAINTEXT", "listeners are plain text so far"),
        none("offsets.commit.required.acks", .short(-1...1), "-1", "a commit always waits for what durability demands"),
        none("offsets.load.buffer.size", .positiveInt, "5242880", "the size is fixed"),
        none("offsets.topic.compression.codec", .anyInt, "0", "coordinator records are not compressed"),
        none("group.coordinator.new.enable", .boolean, "true", "there is one group coordinator, the new one"),
        none("group.coordinator.threads", .positiveInt, "1", "groups are served on the network threads"),
        none("transaction.state.log.load.buffer.size", .positiveInt, "5242880", "the size is fixed"),
        none(
            "transaction.abort.timed.out.transaction.cleanup.interval.ms", .positiveInt, "10000",
            "a transaction is aborted when its time is up"),
        none(
            "transaction.partition.verification.enable", .boolean, "true",
            "a transaction's partitions are always verified"),
        none(
            "add.partitions.to.txn.retry.backoff.ms", .positiveInt, "20",
            "the coordinator lets a request wait until the transaction before is complete"),
        none(
            "add.partitions.to.txn.retry.backoff.max.ms", .naturalInt, "100",
            "the coordinator lets a request wait until the transaction before is complete"),
        none("fetch.purgatory.purge.interval.requests", .anyInt, "1000", "waiting requests leave by themselves"),
        none("producer.purgatory.purge.interval.requests", .anyInt, "1000", "waiting requests leave by themselves"),
    ]

    static func broker(
        _ name: String, _ type: ConfigurationType, default defaultValue: String?, departure: String? = nil,
        update: ConfigurationDefinition.Update = .atStart, _ summary: String
    ) -> ConfigurationDefinition {
        ConfigurationDefinition(
            name, .broker, type, default: defaultValue, update: update, departure: departure, summary)
    }

    private static func none(
        _ name: String, _ type: ConfigurationType, _ defaultValue: String, _ reason: String
    ) -> ConfigurationDefinition {
        ConfigurationDefinition(
            name, .broker, type, default: defaultValue, withoutEffect: reason,
            "Accepted for Kafka's configuration files; no effect: \(reason).")
    }
}
