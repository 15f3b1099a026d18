import Metrics

/// What a producer tells swift-metrics, under the names that Kafka's producer has for them. Counted by step and by
/// request, never by record.
final class ProducerMetrics {
    private let sent: Counter
    private let failed: Counter
    private let requests: Counter
    private let lost: Counter
    private let latency: Metrics.Timer
    private let buffered: Gauge
    private var last: (acknowledged: Int, failed: Int) = (0, 0)

    init(clientId: String, factory: any MetricsFactory) {
        let labels = [("client_id", clientId)]
        sent = Counter(label: "kafka_producer_record_send_total", dimensions: labels, factory: factory)
        failed = Counter(label: "kafka_producer_record_error_total", dimensions: labels, factory: factory)
        requests = Counter(label: "kafka_producer_request_total", dimensions: labels, factory: factory)
        lost = Counter(label: "kafka_producer_request_error_total", dimensions: labels, factory: factory)
        latency = Metrics.Timer(label: "kafka_producer_request_latency", dimensions: labels, factory: factory)
        buffered = Gauge(label: "kafka_producer_buffer_used_bytes", dimensions: labels, factory: factory)
    }

    /// With the totals since the beginning.
    func report(acknowledged: Int, failed failures: Int, buffered bytes: Int) {
        if acknowledged > last.acknowledged { sent.increment(by: acknowledged - last.acknowledged) }
        if failures > last.failed { failed.increment(by: failures - last.failed) }
        if (acknowledged, failures) != last { buffered.record(bytes) }
        last = (acknowledged, failures)
    }

    func answered(after duration: Duration, isLost: Bool) {
        requests.increment()
        if isLost { lost.increment() }
        latency.recordNanoseconds(Int64(duration / .nanoseconds(1)))
    }
}
