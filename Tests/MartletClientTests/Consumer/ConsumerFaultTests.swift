import KafkaProtocol
import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// What a consumer does when brokers, topics or its own task fail it.
@Suite struct ConsumerFaultTests {
    private let partition = TopicPartition("t", 0)

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            BrokerErrorCode.notLeaderOrFollower, .leaderNotAvailable, .unknownTopicOrPartition,
            BrokerErrorCode(rawValue: ErrorCode.kafkaStorageError.rawValue),
            BrokerErrorCode(rawValue: ErrorCode.fencedLeaderEpoch.rawValue),
            BrokerErrorCode(rawValue: ErrorCode.unknownTopicId.rawValue),
        ])
    func errorsThatPassAreTriedAgain(code: BrokerErrorCode) async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<20), to: "t", batch: 5)
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            broker.intercept(.fetch, times: 2) { _ in .fail(code) }
            broker.intercept(.listOffsets, times: 2) { _ in .fail(.notLeaderOrFollower) }
            try consumer.assign([partition], from: .beginning)
            #expect(try await consumer.values(20) == [partition: numbers(0..<20)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func lostConnectionsAndSlowRepliesLoseNothing() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<200), to: "t", batch: 5)
            var configuration = broker.consumerConfiguration()
            configuration.maximumPartitionFetchBytes = 300
            let consumer = try Consumer(configuration: configuration)
            broker.intercept(.fetch) { request in
                switch request.number % 5 {
                case 1: .closeConnection
                case 2: .closeConnection(.afterExecution)
                case 3: .delay(.milliseconds(10), .afterExecution)
                default: .proceed
                }
            }
            try consumer.assign([partition])
            #expect(try await consumer.values(200) == [partition: numbers(0..<200)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aBrokerThatComesLateOrStartsAgainIsWaitedFor() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t")
            try await broker.stop()
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([partition])
            let task = Task { try await consumer.values(10) }
            try await Task.sleep(for: .milliseconds(100))
            try await broker.start()
            #expect(try await task.value == [partition: numbers(0..<10)])
            let next = Task { try await consumer.values(5) }
            try await broker.restart()
            try await broker.produce(numbers(10..<15), to: "t")
            #expect(try await next.value == [partition: numbers(10..<15)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aNameThatNobodyKnowsIsAnErrorAtOnce() async throws {
        let configuration = ConsumerConfiguration(
            bootstrapServers: [BrokerAddress(host: "no-such-host.invalid", port: 9092)])
        let consumer = try Consumer(configuration: configuration)
        try consumer.assign([partition])
        let error = await #expect(throws: ClientError.self) { try await consumer.nextBatches(timeout: .seconds(30)) }
        #expect(error?.code == .connectionFailed && error?.isFatal == true)
        await consumer.close()
    }

    @Test(.timeLimit(.minutes(1))) func aPartitionThatStaysUnknownIsReported() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(["a"], to: "t")
            var configuration = broker.consumerConfiguration()
            configuration.unknownPartitionTimeout = .milliseconds(200)
            let consumer = try Consumer(configuration: configuration)
            let asked = broker.intercept(.fetch, .metadata) { _ in .proceed }
            _ = asked
            try consumer.assign([partition])
            #expect(try await consumer.values(1) == [partition: ["a"]])
            let cluster = Cluster(bootstrap: [broker.address])
            _ = try await Admin(cluster: cluster).deleteTopics(["t"])
            let error = await #expect(throws: ClientError.self) { try await consumer.values(1) }
            #expect(error?.brokerErrorCode == ErrorCode.unknownTopicOrPartition.rawValue)
            await consumer.close()
            await cluster.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aTopicMadeAnewBeginsAnew() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t")
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([partition])
            #expect(try await consumer.values(10) == [partition: numbers(0..<10)])
            let cluster = Cluster(bootstrap: [broker.address])
            _ = try await Admin(cluster: cluster).deleteTopics(["t"])
            try await broker.createTopic("t")
            try await broker.produce(["new", "newer"], to: "t")
            #expect(try await consumer.values(2) == [partition: ["new", "newer"]])
            await consumer.close()
            await cluster.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledTaskLosesNothing() async throws {
        try await withTopics(["t": 1]) { broker in
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([partition])
            let waiting = Task {
                for try await _ in consumer.batches {}
            }
            try await Task.sleep(for: .milliseconds(50))
            // Another one cannot ask meanwhile.
            let error = await #expect(throws: ClientError.self) { try await consumer.nextBatches(timeout: .zero) }
            #expect(error?.code == .invalidState)
            waiting.cancel()
            try await waiting.value
            try await broker.produce(numbers(0..<10), to: "t", batch: 10)
            // A loop that is left in the midst of a batch, and another that goes on.
            #expect(try await consumer.values(4) == [partition: numbers(0..<4)])
            let cancelled = Task { try await consumer.nextBatches(timeout: .seconds(5)) }
            cancelled.cancel()
            _ = try? await cancelled.value
            #expect(try await consumer.values(6) == [partition: numbers(4..<10)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func whatWaitsIsBounded() async throws {
        try await withTopics(["t": 4]) { broker in
            let large = (0..<100).map { "\($0)" + String(repeating: "x", count: 1000) }
            for index in 0..<4 { try await broker.produce(large, to: "t", partition: Int32(index), batch: 10) }
            var configuration = broker.consumerConfiguration()
            configuration.prefetchMemory = 50_000
            configuration.maximumPartitionFetchBytes = 30_000
            let consumer = try Consumer(configuration: configuration)
            let all = (0..<4).map { TopicPartition("t", $0) }
            try consumer.assign(all)
            func waiting() -> Int { consumer.driver.shared.withLock { $0.core.bufferedBytes } }
            try await eventually("something waits") { waiting() > 10_000 }
            // All that there is room for.
            try await Task.sleep(for: .milliseconds(200))
            #expect(waiting() <= 50_000)
            // That is what is allocated, however the bytes came from the socket.
            consumer.driver.shared.withLock { #expect($0.core.heldBytes == $0.core.bufferedBytes) }
            let values = try await consumer.values(400)
            for partition in all { #expect(values[partition] == large) }
            await consumer.close()
        }
    }
}
