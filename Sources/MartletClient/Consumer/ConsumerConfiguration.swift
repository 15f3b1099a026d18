import Metrics

/// How a consumer works. Kafka's names stand with each setting; defaults are Kafka's unless it says otherwise.
public struct ConsumerConfiguration: Sendable {
    /// Where to begin in a partition without a position, or with one outside of what the partition holds.
    public enum OffsetReset: Sendable, Hashable {
        /// With the first record that is still there.
        case earliest
        /// With what comes from now on.
        case latest
        /// Nowhere: `next()` throws.
        case none
    }

    /// Which records of transactions are consumed.
    public enum IsolationLevel: Sendable, Hashable {
        /// All of them.
        case readUncommitted
        /// Those of committed transactions, and none that come after the first open one.
        case readCommitted
    }

    /// Brokers to ask for the cluster's others (`bootstrap.servers`).
    public var bootstrapServers: [BrokerAddress]
    /// How the broker's logs and quotas call this client (`client.id`).
    public var clientId = "martlet"
    /// Where this consumer does its work; nil gives it an event loop as they come.
    public var executor: ClientExecutor?
    /// TLS and SASL (`security.protocol` and what goes with it).
    public var security = ClientSecurity()
    /// The group, which `subscribe` and commits need (`group.id`).
    public var groupId: String?
    /// Names this member across its restarts, which then move no partitions (`group.instance.id`, KIP-345).
    public var groupInstanceId: String?
    /// Who divides the partitions: the members among themselves, or the coordinator (`group.protocol`, KIP-848).
    public var groupProtocol = GroupProtocol.classic
    /// How the members of a classic group may divide the partitions, the preferred way first
    /// (`partition.assignment.strategy`).
    public var partitionAssignmentStrategies: [PartitionAssignmentStrategy] = [.range, .cooperativeSticky]
    /// How the coordinator divides the partitions with the consumer protocol; nil leaves it to the coordinator
    /// (`group.remote.assignor`).
    public var remoteAssignor: String?
    /// Where this client is, so that replicas nearby may be read from (`client.rack`, KIP-392).
    public var clientRack: String?
    /// Without a heartbeat for so long a member is out (`session.timeout.ms`); the classic protocol only.
    public var sessionTimeout: Duration = .seconds(45)
    /// The time between heartbeats (`heartbeat.interval.ms`); the classic protocol only.
    public var heartbeatInterval: Duration = .seconds(3)
    /// A member that does not ask for records for so long leaves its group, until it asks again
    /// (`max.poll.interval.ms`).
    public var maximumPollInterval: Duration = .seconds(300)
    /// Whether offsets of records that the application is done with are committed by themselves
    /// (`enable.auto.commit`). Only with a group.
    public var isAutoCommitEnabled = true
    /// The time between these commits (`auto.commit.interval.ms`).
    public var autoCommitInterval: Duration = .seconds(5)
    /// `auto.offset.reset`.
    public var offsetReset = OffsetReset.latest
    /// `isolation.level`.
    public var isolationLevel = IsolationLevel.readUncommitted
    /// A broker answers a fetch when it has so many bytes, or `fetchMaximumWait` is over (`fetch.min.bytes`).
    public var fetchMinimumBytes = 1
    /// How long a broker may wait for `fetchMinimumBytes` (`fetch.max.wait.ms`).
    public var fetchMaximumWait: Duration = .milliseconds(500)
    /// How many bytes one fetch may bring (`fetch.max.bytes`); a single larger batch comes nevertheless.
    public var fetchMaximumBytes = 50 << 20
    /// How many bytes of one partition one fetch may bring (`max.partition.fetch.bytes`); a single larger batch comes
    /// nevertheless. A partition with so many bytes waiting is not fetched from.
    public var maximumPartitionFetchBytes = 1 << 20
    /// How many fetched bytes may wait for the application, those on their way included (Kafka has no such setting): the
    /// memory of whole replies, which is taken as long as records of any of their partitions wait. When it is needed, what
    /// waits of paused partitions is given up and fetched again. A batch that is larger than a fetch may be exceeds it.
    public var prefetchMemory = 64 << 20
    /// How large the decompressed content of one batch may be; a larger one is reported as damaged.
    public var maximumDecompressedBatchSize = 200 << 20
    /// Whether the checksums of batches are compared (`check.crcs`).
    public var checksCRCs = true
    /// Whether asking for a topic that does not exist may create it (`allow.auto.create.topics`). Off, unlike Kafka: a
    /// misspelled name should not become a topic.
    public var allowsAutoTopicCreation = false
    /// Whether a pattern leaves out the brokers' own topics (`exclude.internal.topics`).
    public var excludesInternalTopics = true
    /// Is told when the group gives or takes partitions.
    public var rebalanceListener: (any RebalanceListener)?
    /// How long a broker may take to answer one request (`request.timeout.ms`).
    public var requestTimeout: Duration = .seconds(30)
    /// How long an operation such as a commit may take with its retries (`default.api.timeout.ms`).
    public var apiTimeout: Duration = .seconds(60)
    /// How long `close` may take.
    public var closeTimeout: Duration = .seconds(30)
    /// The pause before the first retry; each further one doubles it, by chance a fifth more or less
    /// (`retry.backoff.ms`).
    public var retryBackoff: Duration = .milliseconds(100)
    /// The longest pause before a retry (`retry.backoff.max.ms`).
    public var maximumRetryBackoff: Duration = .seconds(1)
    /// How long one address may take to accept a connection (`socket.connection.setup.timeout.ms`).
    public var connectTimeout: Duration = .seconds(10)
    /// After this time the cluster is asked anew who leads what (`metadata.max.age.ms`).
    public var metadataMaximumAge: Duration = .seconds(300)
    /// How long a partition that was assigned by hand may be unknown to the cluster before `next()` reports it (Kafka
    /// waits for ever).
    public var unknownPartitionTimeout: Duration = .seconds(10)

    /// Where counts and times go (`metric.reporters`); nil for the system that the program has set up.
    public var metricsFactory: (any MetricsFactory)?

    /// A consumer of the cluster to which `bootstrapServers` belong. Without a group it must be assigned by hand.
    public init(bootstrapServers: [BrokerAddress], groupId: String? = nil) {
        self.bootstrapServers = bootstrapServers
        self.groupId = groupId
    }

    /// The first rule that the values break.
    func fault() -> ClientError? {
        let durations = [
            requestTimeout, apiTimeout, closeTimeout, retryBackoff, connectTimeout, metadataMaximumAge, sessionTimeout,
            heartbeatInterval, maximumPollInterval, autoCommitInterval, unknownPartitionTimeout,
        ]
        let rules: [(Bool, String)] = [
            (!bootstrapServers.isEmpty, "bootstrapServers must name at least one broker"),
            (groupId != "", "groupId must not be empty"),
            (groupInstanceId != "", "groupInstanceId must not be empty"),
            (clientRack != "", "clientRack must not be empty"),
            (remoteAssignor != "", "remoteAssignor must not be empty"),
            (groupInstanceId == nil || groupId != nil, "groupInstanceId needs a groupId"),
            (!partitionAssignmentStrategies.isEmpty, "partitionAssignmentStrategies must name at least one"),
            (durations.allSatisfy { $0 > .zero }, "times must be positive"),
            (heartbeatInterval < sessionTimeout, "heartbeatInterval must be below sessionTimeout"),
            (maximumRetryBackoff >= retryBackoff, "maximumRetryBackoff is below retryBackoff"),
            (fetchMaximumWait >= .zero, "fetchMaximumWait must not be negative"),
            (fetchMaximumWait < requestTimeout, "fetchMaximumWait must be below requestTimeout"),
            ((0...(1 << 30)).contains(fetchMinimumBytes), "fetchMinimumBytes must be 0 to 1 GiB"),
            ((1...(1 << 30)).contains(fetchMaximumBytes), "fetchMaximumBytes must be 1 byte to 1 GiB"),
            (
                (1...(1 << 30)).contains(maximumPartitionFetchBytes),
                "maximumPartitionFetchBytes must be 1 byte to 1 GiB"
            ),
            ((1024...(64 << 30)).contains(prefetchMemory), "prefetchMemory must be 1 KiB to 64 GiB"),
            (
                (1024...(2 << 30)).contains(maximumDecompressedBatchSize),
                "maximumDecompressedBatchSize must be 1 KiB to 2 GiB"
            ),
        ]
        return rules.first { !$0.0 }.map { ClientError(.invalidArgument, $0.1) }
    }
}
