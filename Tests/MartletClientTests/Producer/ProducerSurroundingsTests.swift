import Logging
import MartletTesting
import MetricsTestKit
import ServiceLifecycle
import Testing

@testable import MartletClient

/// What a producer has to do with the program around it.
@Suite struct ProducerSurroundingsTests {
    @Test func metricsCountWhatWasWrittenAndWhatWasNot() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1, [("max.message.bytes", "2000")])
            let metrics = TestMetrics()
            var configuration = await node.producerConfiguration
            configuration.clientId = "counted"
            configuration.metricsFactory = metrics
            let producer = try Producer(configuration: configuration)
            for _ in 0..<10 { try await producer.send(ProducerRecord(topic: "t", text: "x")) }
            await #expect(throws: ClientError.self) {
                try await producer.send(ProducerRecord(topic: "t", value: [UInt8](repeating: 0, count: 5000)))
            }
            await producer.close()
            let labels = [("client_id", "counted")]
            #expect(try metrics.expectCounter("kafka_producer_record_send_total", labels).totalValue == 10)
            #expect(try metrics.expectCounter("kafka_producer_record_error_total", labels).totalValue == 1)
            let requests = try metrics.expectCounter("kafka_producer_request_total", labels).totalValue
            #expect(requests >= 11)
            let latencies = try metrics.expectTimer("kafka_producer_request_latency", labels).values
            #expect(Int64(latencies.count) == requests)
            #expect(latencies.allSatisfy { $0 > 0 && $0 < 60_000_000_000 })
        }
    }

    @Test func tracesTravelInHeaders() async throws {
        try await withBroker { broker in
            try await broker.createTopic("t", partitions: 1)
            var configuration = ProducerConfiguration(
                bootstrapServers: try BrokerAddress.list(broker.bootstrapServers))
            configuration.tracing = TraceContextTracing()
            let producer = try Producer(configuration: configuration)
            let context = try #require(
                TraceContext(
                    traceId: [UInt8](repeating: 7, count: 16), parentId: [UInt8](repeating: 9, count: 8),
                    isSampled: true))
            _ = try await TraceContext.$current.withValue(context) {
                try await producer.send(ProducerRecord(topic: "t", text: "traced"))
            }
            try await producer.send(ProducerRecord(topic: "t", text: "not traced"))
            await producer.close()
            let headers = try broker.records(of: "t").map { $0.headers.map { Header(key: $0.key, value: $0.value) } }
            #expect(headers == [context.headers, []])
        }
    }

    /// What is enqueued when the shutdown begins is written before the group ends.
    @Test func aServiceWritesBeforeItEnds() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            var configuration = await node.producerConfiguration
            configuration.linger = .seconds(30)
            let producer = try Producer(configuration: configuration)
            var logger = Logger(label: "test")
            logger.logLevel = .error
            let group = ServiceGroup(services: [producer], logger: logger)
            let running = Task { try await group.run() }
            try producer.enqueue(ProducerRecord(topic: "t", text: "last words"))
            await group.triggerGracefulShutdown()
            try await running.value
            #expect(try await node.values("t") == [["last words"]])
            #expect(throws: ClientError.self) { try producer.enqueue(ProducerRecord(topic: "t", text: "late")) }
        }
    }
}
