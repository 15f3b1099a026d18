import Metrics

/// How a producer works. Kafka's names stand with each setting; defaults are Kafka's unless it says otherwise.
public struct ProducerConfiguration: Sendable {
    /// Who must have a record before it counts as written.
    public enum Acknowledgements: Int16, Sendable {
        /// The broker does not answer; records may be lost without a word, and their offsets are not known.
        case none = 0
        /// The leader has it; it is lost when the leader fails before a follower has copied it.
        case leader = 1
        /// All in-sync replicas have it.
        case all = -1
    }

    /// Brokers to ask for the cluster's others (`bootstrap.servers`).
    public var bootstrapServers: [BrokerAddress]
    /// How the broker's logs and quotas call this client (`client.id`).
    public var clientId = "martlet"
    /// Where this producer does its work; nil gives it an event loop as they come.
    public var executor: ClientExecutor?
    /// TLS and SASL (`security.protocol` and what goes with it).
    public var security = ClientSecurity()
    /// `acks`.
    public var acknowledgements = Acknowledgements.all
    /// Whether brokers recognize what a retry sends again, so that nothing is written twice or out of order
    /// (`enable.idempotence`). Needs `acknowledgements` of all and at most five requests in flight.
    public var isIdempotent = true
    /// `compression.type`.
    public var compression = Compression.none
    /// A batch goes out when it has so many bytes before compression (`batch.size`). Larger than Kafka's 16 KB, because
    /// memory is taken as records come and not ahead of them. A single record may be longer.
    public var batchSize = 256 * 1024
    /// How long a batch that is not full waits for more records (`linger.ms`); with zero it waits only while all
    /// requests to its broker that may be in flight are.
    public var linger: Duration = .milliseconds(5)
    /// How many bytes of batches may be on their way (`buffer.memory`). `enqueue` throws when it is full.
    public var bufferMemory = 32 << 20
    /// How long `send` waits for room or for a topic to be known, and records wait for their topic (`max.block.ms`).
    public var maximumBlock: Duration = .seconds(60)
    /// How long one request may be before compression, and so a single record (`max.request.size`).
    public var maximumRequestSize = 1 << 20
    /// How many requests a broker may have unanswered (`max.in.flight.requests.per.connection`).
    public var maximumInFlightRequests = 5
    /// How long a broker may take to answer one request, or to take one that it does not answer (`acks=0`), until its
    /// connection ends (`request.timeout.ms`).
    public var requestTimeout: Duration = .seconds(30)
    /// How long a record may take in all until it is acknowledged, with lingering and retries
    /// (`delivery.timeout.ms`). At least `linger` and `requestTimeout` together.
    public var deliveryTimeout: Duration = .seconds(120)
    /// The pause before the first retry; each further one doubles it, by chance a fifth more or less
    /// (`retry.backoff.ms`).
    public var retryBackoff: Duration = .milliseconds(100)
    /// The longest pause before a retry (`retry.backoff.max.ms`).
    public var maximumRetryBackoff: Duration = .seconds(1)
    /// How long one address may take to accept a connection (`socket.connection.setup.timeout.ms`, Kafka: 10 s).
    public var connectTimeout: Duration = .seconds(5)
    /// How old the knowledge of partitions and leaders may grow (`metadata.max.age.ms`).
    public var metadataMaximumAge: Duration = .seconds(300)
    /// Decides for records without a partition of their own; nil for Kafka's default: by the key's hash, and without
    /// a key a partition for `batchSize` bytes and then another (`partitioner.class`, KIP-480 and 794).
    public var partitioner: (any Partitioner)?
    /// Whether records with a key are spread as those without (`partitioner.ignore.keys`).
    public var partitionerIgnoresKeys = false
    /// Whether partitions with longer queues get fewer records without a key
    /// (`partitioner.adaptive.partitioning.enable`).
    public var partitionerIsAdaptive = true
    /// Names this producer across its restarts (`transactional.id`); needed for transactions, and fences an earlier
    /// producer of the same name.
    public var transactionalId: String?
    /// After this time the broker aborts a transaction by itself (`transaction.timeout.ms`).
    public var transactionTimeout: Duration = .seconds(60)
    /// Adds the context of a trace to each record's headers; nil adds none.
    public var tracing: (any RecordTracing)?
    /// Where counts and times go (`metric.reporters`); nil for the system that the program has set up.
    public var metricsFactory: (any MetricsFactory)?
    /// The newest kind of transactions to use; 1 is for tests of what older clusters need (KIP-890).
    package var maximumTransactionVersion: Int16 = 2

    /// A producer of the cluster to which `bootstrapServers` belong.
    public init(bootstrapServers: [BrokerAddress]) {
        self.bootstrapServers = bootstrapServers
    }

    /// The first rule that the values break.
    func fault() -> ClientError? {
        let isTransactional = transactionalId != nil
        let rules: [(Bool, String)] = [
            (!bootstrapServers.isEmpty, "bootstrapServers must name at least one broker"),
            (!isIdempotent || acknowledgements == .all, "an idempotent producer needs acknowledgements of all"),
            (
                !isIdempotent || (1...5).contains(maximumInFlightRequests),
                "an idempotent producer may have 1 to 5 requests in flight"
            ),
            (!isTransactional || isIdempotent, "a transactional producer must be idempotent"),
            (transactionalId != "", "transactionalId must not be empty"),
            (compression.isLevelValid, "the compression's level is out of its range"),
            ((1...(64 << 20)).contains(batchSize), "batchSize must be 1 to 67108864"),
            (linger >= .zero && linger <= .seconds(60), "linger must be 0 to 60 seconds"),
            ((1024...(64 << 30)).contains(bufferMemory), "bufferMemory must be 1 KiB to 64 GiB"),
            ((1024...(1 << 30)).contains(maximumRequestSize), "maximumRequestSize must be 1 KiB to 1 GiB"),
            ((1...1000).contains(maximumInFlightRequests), "maximumInFlightRequests must be 1 to 1000"),
            (maximumBlock >= .zero, "maximumBlock must not be negative"),
            (requestTimeout > .zero && connectTimeout > .zero, "time-outs must be positive"),
            (deliveryTimeout >= linger + requestTimeout, "deliveryTimeout must be at least linger and requestTimeout"),
            (retryBackoff > .zero && maximumRetryBackoff >= retryBackoff, "maximumRetryBackoff is below retryBackoff"),
            (metadataMaximumAge > .zero, "metadataMaximumAge must be positive"),
            (transactionTimeout >= .milliseconds(1), "transactionTimeout must be positive"),
        ]
        return rules.first { !$0.0 }.map { ClientError(.invalidArgument, $0.1) }
    }
}
