import KafkaProtocol
import Testing

@testable import MartletClient

/// A broker that takes connections and reads nothing more.
@Suite struct UnreadRequestTests {
    @Test(.timeLimit(.minutes(1))) func requestsWithoutRepliesFailInTime() async throws {
        let broker = try await ScriptedBroker.start(versions: [.produce: 9]) { _ in .stopReading }
        var configuration = ProducerConfiguration(
            bootstrapServers: [BrokerAddress(host: "127.0.0.1", port: broker.port)])
        configuration.acknowledgements = .none
        configuration.isIdempotent = false
        configuration.linger = .zero
        configuration.requestTimeout = .milliseconds(200)
        configuration.deliveryTimeout = .milliseconds(500)
        configuration.retryBackoff = .milliseconds(10)
        configuration.maximumRetryBackoff = .milliseconds(50)
        configuration.maximumBlock = .seconds(20)
        configuration.bufferMemory = 64 << 20
        let producer = try Producer(configuration: configuration)
        // More than the system takes on its own, whatever its buffers are.
        let record = ProducerRecord(topic: "t", partition: 0, value: [UInt8](repeating: 1, count: 900_000))
        var deliveries: [Delivery] = []
        for _ in 0..<40 { deliveries.append(try await producer.enqueueWaiting(record)) }
        var failures: [ClientError] = []
        for delivery in deliveries {
            do throws(ClientError) {
                _ = try await delivery.metadata
            } catch {
                failures.append(error)
            }
        }
        #expect(failures.count > 5)
        #expect(failures.allSatisfy { $0.code == .timedOut && $0.message.contains("500 ms") })
        try await eventually("the memory is given back") { producer.withCore { $0.bufferedBytes } == 0 }
        let start = ContinuousClock.now
        await producer.close()
        #expect(ContinuousClock.now - start < .seconds(5))
        try await broker.stop()
    }
}
