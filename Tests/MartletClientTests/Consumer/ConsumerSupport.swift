import Logging
import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

extension TestedBroker {
    var address: BrokerAddress { addresses[0] }

    /// A configuration with waits that suit a test.
    func consumerConfiguration(group: String? = nil) -> ConsumerConfiguration {
        var configuration = ConsumerConfiguration(bootstrapServers: [address], groupId: group)
        configuration.offsetReset = .earliest
        configuration.retryBackoff = .milliseconds(10)
        configuration.maximumRetryBackoff = .milliseconds(50)
        configuration.fetchMaximumWait = .milliseconds(50)
        configuration.heartbeatInterval = .milliseconds(50)
        configuration.sessionTimeout = .seconds(6)
        configuration.closeTimeout = .seconds(5)
        return configuration
    }

    func producer(_ change: (inout ProducerConfiguration) -> Void = { _ in }) throws -> Producer {
        var configuration = ProducerConfiguration(bootstrapServers: [address])
        configuration.linger = .zero
        configuration.retryBackoff = .milliseconds(10)
        configuration.maximumRetryBackoff = .milliseconds(50)
        change(&configuration)
        return try Producer(configuration: configuration)
    }

    /// Writes values, in batches of so many records.
    func produce(
        _ values: some Sequence<String>, to topic: String, partition: Int32 = 0, batch: Int = 10,
        compression: Compression = .none
    ) async throws {
        let producer = try producer {
            $0.compression = compression
            $0.linger = .seconds(5)
        }
        var open = 0
        for value in values {
            try producer.enqueue(ProducerRecord(topic: topic, partition: partition, value: Array(value.utf8)))
            open += 1
            if open % batch == 0 { try await producer.flush() }
        }
        await producer.close()
        #expect(producer.report.failed == 0)
    }
}

/// Runs `body` with a broker and topics of so many partitions.
func withTopics(
    _ topics: [String: Int], _ configuration: BrokerTestConfiguration = BrokerTestConfiguration(),
    _ body: (TestBroker) async throws -> Void
) async throws {
    try await withBroker(configuration) { broker in
        for (name, partitions) in topics { try await broker.createTopic(name, partitions: partitions) }
        try await body(broker)
    }
}

/// As `withTopics`, where what clients see is all that the test needs.
func withTestedTopics(_ topics: [String: Int], _ body: (any TestedBroker) async throws -> Void) async throws {
    try await withTestedBroker { broker in
        for (name, partitions) in topics { try await broker.createTopic(name, partitions: partitions) }
        try await body(broker)
    }
}

extension Consumer {
    /// The values of the next `count` records, by partition in their order.
    func values(_ count: Int) async throws -> [TopicPartition: [String]] {
        var values: [TopicPartition: [String]] = [:]
        var left = count
        guard left > 0 else { return [:] }
        for try await record in records {
            values[record.topicPartition, default: []].append(record.value?.string ?? "null")
            left -= 1
            if left == 0 { break }
        }
        return values
    }
}

func numbers(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

/// Waits until something has become true, and fails after a while.
func eventually(
    _ what: Comment, within limit: Duration = .seconds(10), sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else {
            Issue.record(what, sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}
