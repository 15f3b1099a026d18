import Metrics

/// What a consumer tells swift-metrics, under the names that Kafka's consumer has for them. Counted by batch and by
/// request, never by record.
final class ConsumerMetrics: Sendable {
    private let records: Counter
    private let bytes: Counter
    private let fetches: Counter
    private let lost: Counter
    private let latency: Metrics.Timer
    private let rebalances: Counter
    private let commits: Counter
    private let failedCommits: Counter

    init(clientId: String, factory: any MetricsFactory) {
        let labels = [("client_id", clientId)]
        records = Counter(label: "kafka_consumer_records_consumed_total", dimensions: labels, factory: factory)
        bytes = Counter(label: "kafka_consumer_bytes_consumed_total", dimensions: labels, factory: factory)
        fetches = Counter(label: "kafka_consumer_fetch_total", dimensions: labels, factory: factory)
        lost = Counter(label: "kafka_consumer_fetch_error_total", dimensions: labels, factory: factory)
        latency = Metrics.Timer(label: "kafka_consumer_fetch_latency", dimensions: labels, factory: factory)
        rebalances = Counter(label: "kafka_consumer_rebalance_total", dimensions: labels, factory: factory)
        commits = Counter(label: "kafka_consumer_commit_total", dimensions: labels, factory: factory)
        failedCommits = Counter(label: "kafka_consumer_commit_error_total", dimensions: labels, factory: factory)
    }

    /// A batch that the application was given; `byteCount` as it came over the wire.
    func consumed(records count: Int, byteCount: Int) {
        records.increment(by: count)
        bytes.increment(by: byteCount)
    }

    /// A fetch was answered, with the time that the broker waited for records.
    func fetched(after duration: Duration, isLost: Bool) {
        fetches.increment()
        if isLost { lost.increment() }
        latency.recordNanoseconds(Int64(duration / .nanoseconds(1)))
    }

    func rebalanced() {
        rebalances.increment()
    }

    func committed(isFailed: Bool) {
        commits.increment()
        if isFailed { failedCommits.increment() }
    }
}
