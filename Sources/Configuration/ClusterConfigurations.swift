extension BrokerConfigurations {
    /// What concerns a node among others.
    static let cluster: [ConfigurationDefinition] = [
        broker(
            "metadata.store", .choice(["embedded", "etcd"]), default: "embedded", departure: "Martlet's own.",
            "Where the metadata is kept: in the data folder, for one node, or in etcd, for a cluster."),
        broker(
            "etcd.endpoints", .list(of: []), default: "http://127.0.0.1:2379", departure: "Martlet's own.",
            "Where etcd is reached: http://HOST:PORT or https://HOST:PORT."),
        broker(
            "etcd.prefix", .string, default: "martlet/", departure: "Martlet's own.",
            "Begins all keys in etcd; clusters that share an etcd need different ones."),
        broker(
            "etcd.username", .string, default: nil, departure: "Martlet's own.", "User of etcd, if it asks for one."),
        broker("etcd.password", .string, default: nil, departure: "Martlet's own.", "The user's password."),
        broker(
            "etcd.ssl.ca.location", .string, default: nil, departure: "Martlet's own.",
            "File of the certificates that etcd's is checked against; the system's by default."),
        broker(
            "etcd.ssl.certificate.location", .string, default: nil, departure: "Martlet's own.",
            "File of this node's certificate for etcd, if it asks for one."),
        broker(
            "etcd.ssl.key.location", .string, default: nil, departure: "Martlet's own.",
            "File of the certificate's key."),
        broker(
            "etcd.request.timeout.ms", .positiveInt, default: "5000", departure: "Martlet's own.",
            "How long a request to etcd may take."),
        broker(
            "broker.session.timeout.ms", .positiveInt, default: "9000",
            "A node that etcd has not heard of for so long is taken out of service."),
        broker(
            "inter.broker.listener.name", .string, default: nil,
            "The listener that the other nodes use; the first one by default."),
        broker(
            "num.replica.fetchers", .int(1...64), default: "1",
            "Connections over which records are fetched from each other node."),
        broker(
            "replica.fetch.max.bytes", .positiveInt, default: "1048576",
            "The most that is fetched of a partition at a time."),
        broker(
            "replica.fetch.response.max.bytes", .positiveInt, default: "10485760",
            "The most that one fetch from another node brings."),
        broker(
            "replica.fetch.min.bytes", .positiveInt, default: "1", "What a fetch from another node waits for."),
        broker(
            "replica.fetch.wait.max.ms", .positiveInt, default: "500",
            "How long a fetch from another node waits for records."),
        broker(
            "replica.fetch.backoff.ms", .positiveInt, default: "1000",
            "The longest pause after a fetch from another node has failed."),
        broker(
            "replica.socket.timeout.ms", .positiveInt, default: "30000",
            "How long another node may take to answer."),
        broker(
            "replica.lag.time.max.ms", .positiveLong, default: "30000",
            "A replica that has not caught up for so long leaves the in-sync set."),
        broker(
            "replica.selector.class", .string, default: nil,
            "org.apache.kafka.common.replica.RackAwareReplicaSelector sends consumers to a replica in their rack."),
        broker(
            "auto.leader.rebalance.enable", .boolean, default: "true",
            "Give partitions back to their first replica when it is there again."),
        broker(
            "leader.imbalance.check.interval.seconds", .positiveLong, default: "300",
            "How often leaders are looked at for that."),
        broker(
            "leader.imbalance.per.broker.percentage", .naturalInt, default: "10",
            "The share of a node's partitions that others may lead before it gets them back."),
        ConfigurationDefinition(
            "leader.replication.throttled.rate", .broker, .positiveLong, default: "9223372036854775807",
            update: .atRunTime, "Bytes a second that a node sends to replicas that are throttled and not in sync."),
        ConfigurationDefinition(
            "follower.replication.throttled.rate", .broker, .positiveLong, default: "9223372036854775807",
            update: .atRunTime, "Bytes a second that a node fetches for replicas that are throttled."),
        broker(
            "controlled.shutdown.timeout.ms", .positiveInt, default: "30000", departure: "Martlet's own.",
            "How long a node that stops waits for others to take over what it leads."),
        broker(
            "transaction.state.log.min.isr", .positiveInt, default: "2",
            "min.insync.replicas of __transaction_state in a cluster."),
    ]
}
