import Logging
import MartletTesting
import MetricsTestKit
import ServiceLifecycle
import Testing

@testable import MartletClient

/// What a consumer has to do with the program around it.
@Suite(.timeLimit(.minutes(1))) struct ConsumerSurroundingsTests {
    private struct Loop: Service {
        let consumer: Consumer
        let seen: AsyncStream<Int64>.Continuation

        func run() async throws {
            for try await record in consumer.records { seen.yield(record.offset) }
        }
    }

    /// The loop ends, what it was done with is committed, and the group left, before the service group ends.
    @Test func aServiceCommitsAndLeavesBeforeItEnds() async throws {
        try await withBroker { broker in
            try await broker.createTopic("t", partitions: 1)
            let servers = try BrokerAddress.list(broker.bootstrapServers)
            let producer = try Producer(configuration: ProducerConfiguration(bootstrapServers: servers))
            for index in 0..<20 { try await producer.send(ProducerRecord(topic: "t", text: "\(index)")) }
            await producer.close()
            let metrics = TestMetrics()
            var configuration = ConsumerConfiguration(bootstrapServers: servers, groupId: "g")
            configuration.clientId = "counted"
            configuration.offsetReset = .earliest
            configuration.autoCommitInterval = .seconds(60)
            configuration.metricsFactory = metrics
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            let (seen, continuation) = AsyncStream<Int64>.makeStream()
            var logger = Logger(label: "test")
            logger.logLevel = .error
            let group = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [
                        .init(service: consumer),
                        .init(
                            service: Loop(consumer: consumer, seen: continuation),
                            successTerminationBehavior: .gracefullyShutdownGroup),
                    ], logger: logger))
            let running = Task { try await group.run() }
            for await offset in seen where offset == 19 { break }
            await group.triggerGracefulShutdown()
            try await running.value

            let admin = Admin(cluster: Cluster(bootstrap: servers))
            // The last record is the loop's until it asks for the next, which it does at once.
            #expect(try await admin.committedOffsets(of: "g")[TopicPartition("t", 0)]?.offset ?? 0 == 20)
            #expect(try await admin.describeGroup("g").members.isEmpty)
            await admin.close()

            let labels = [("client_id", "counted")]
            #expect(try metrics.expectCounter("kafka_consumer_records_consumed_total", labels).totalValue == 20)
            #expect(try metrics.expectCounter("kafka_consumer_bytes_consumed_total", labels).totalValue > 20 * 60)
            #expect(try metrics.expectCounter("kafka_consumer_commit_total", labels).totalValue == 1)
            #expect(try metrics.expectCounter("kafka_consumer_rebalance_total", labels).totalValue >= 1)
            let fetches = try metrics.expectCounter("kafka_consumer_fetch_total", labels).totalValue
            #expect(try metrics.expectTimer("kafka_consumer_fetch_latency", labels).values.count == Int(fetches))
        }
    }
}
