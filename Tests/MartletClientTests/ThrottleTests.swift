import KafkaProtocol
import NIOCore
import Synchronization
import Testing

@testable import MartletClient

/// A broker whose quota is exceeded is left alone for as long as it says, and no longer (KIP-219).
@Suite struct ThrottleTests {
    @Test(arguments: [(Int16(5), 0), (6, 700), (9, 700)]) func theVersionSaysWhoWaits(version: Int16, expected: Int) {
        let duration = ClientThrottle.duration(700, of: ProduceRequest.self, version: version)
        #expect(duration == .milliseconds(expected))
        #expect(ClientThrottle.duration(-1, of: ProduceRequest.self, version: version) == .zero)
    }

    @Test(arguments: [(Int16(7), 0), (8, 300), (12, 300)]) func fetchRepliesSayIt(version: Int16, expected: Int) throws
    {
        var response = FetchResponse()
        response.throttleTimeMs = 300
        var writer = ByteWriter()
        response.encode(to: &writer, version: version)
        var frame = ByteBuffer(bytes: [0, 0, 0, 1] + (version >= 12 ? [0] : []))
        frame.writeBytes(writer.bytes)
        #expect(try FetchReply(frame: frame, version: version).throttle == .milliseconds(expected))
    }

    @Test func aProducerHoldsItsRequests() throws {
        var configuration = ProducerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.linger = .zero
        var harness = ProducerHarness(seed: 1, configuration: configuration)
        for partition in 0..<3 { try harness.append("warm", to: partition) }
        #expect(try harness.settle())
        try harness.append("first", to: 0)
        let first = harness.core.step(now: harness.now).requests
        try #require(first.count == 1)
        harness.core.didReceive(
            [BatchResult(baseOffset: 1)], for: first[0], throttle: .milliseconds(200), now: harness.now)
        // Partition 1 is another broker's, 2 the same one's.
        for partition in 0..<3 { try harness.append("next", to: partition) }
        let others = harness.core.step(now: harness.now)
        #expect(others.requests.map(\.node) == [1])
        let due = try #require(others.nextStep)
        #expect(due == harness.now + .milliseconds(200))
        #expect(harness.core.step(now: due - .milliseconds(1)).requests.isEmpty)
        let late = harness.core.step(now: due).requests
        #expect(late.map(\.node) == [0] && late.first?.batches.count == 2)
    }

    @Test func aConsumerHoldsItsFetches() throws {
        var configuration = ConsumerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.offsetReset = .earliest
        var harness = ConsumerHarness(
            seed: 1, configuration: configuration, partitionCount: 2, faults: ConsumerHarness.Faults())
        harness.step()
        let isConnected = harness.pump { core in core.nodes.values.filter { $0.inFlight != nil }.count == 2 }
        try #require(isConnected)
        harness.throttle = .milliseconds(300)
        let isThrottled = harness.pump { $0.nodes.values.allSatisfy { $0.throttledUntil != nil } }
        try #require(isThrottled)
        harness.throttle = .zero
        let times = harness.core.nodes.values.compactMap(\.throttledUntil).sorted()
        try #require(times.count == 2 && times[1] <= harness.now + .milliseconds(300))
        let early = harness.core.step(now: times[0] - .milliseconds(1))
        #expect(early.fetches.isEmpty)
        #expect(early.nextStep ?? times[0] <= times[0])
        #expect(Set(harness.core.step(now: times[1]).fetches.map(\.node)) == [0, 1])
    }

    @Test(.timeLimit(.minutes(1))) func aRealConnectionPausesBetweenRequests() async throws {
        let times = Mutex<[ContinuousClock.Instant]>([])
        let broker = try await ScriptedBroker.start(versions: [.produce: 9, .initProducerId: 4]) { request in
            guard request.key == .produce else { return .nothing }
            let asked: ProduceRequest = WireFrame.request(in: request.frame, request.version)
            let count = times.withLock { times in
                times.append(.now)
                return times.count
            }
            var response = ProduceResponse()
            response.throttleTimeMs = count == 1 ? 1500 : 0
            response.responses = asked.topicData.map { topic in
                var answer = ProduceResponse.TopicProduceResponse()
                answer.name = topic.name
                answer.partitionResponses = topic.partitionData.map { partition in
                    var entry = ProduceResponse.PartitionProduceResponse()
                    entry.index = partition.index
                    return entry
                }
                return answer
            }
            return .reply(to: ProduceRequest.self, request, response)
        }
        var configuration = ProducerConfiguration(
            bootstrapServers: [BrokerAddress(host: "127.0.0.1", port: broker.port)])
        configuration.isIdempotent = false
        configuration.linger = .zero
        let producer = try Producer(configuration: configuration)
        for _ in 0..<3 { try await producer.send(ProducerRecord(topic: "t", partition: 0, value: [1])) }
        let gaps = times.withLock { times in zip(times.dropFirst(), times).map { $0 - $1 } }
        try #require(gaps.count == 2)
        // How soon the others go is for the core's test: here the machine may be busy.
        #expect(gaps[0] >= .milliseconds(1500), "\(gaps)")
        await producer.close()
        try await broker.stop()
    }
}
