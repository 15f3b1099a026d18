import KafkaProtocol
import MartletClient
import MartletTesting
import Synchronization
import Testing

/// What hooks do to requests, as a client sees it and as the log has it.
@Suite struct InterceptionTests {
    private let clock = ContinuousClock()

    private func withTopic(
        _ configuration: BrokerTestConfiguration = BrokerTestConfiguration(),
        _ body: (TestBroker, WireClient) async throws -> Void
    ) async throws {
        try await withBroker(configuration) { broker in
            try await broker.createTopic("t")
            try await body(broker, try await WireClient.connect(to: broker))
        }
    }

    @Test("a request that fails before its execution is not carried out", .timeLimit(.minutes(1)))
    func failBefore() async throws {
        try await withTopic { broker, client in
            let hook = broker.intercept(.produce, times: 2) { _ in .fail(.notLeaderOrFollower) }
            for _ in 0..<2 {
                let refused = try await client.produce(["a"], to: "t")
                #expect(refused.errorCode == ErrorCode.notLeaderOrFollower.rawValue)
                #expect(refused.baseOffset == -1)
            }
            #expect(try broker.records(of: "t").isEmpty)
            #expect(try await client.produce(["b"], to: "t").errorCode == 0)
            #expect(try broker.records(of: "t").map(\.text) == ["b"])
            #expect(hook.hitCount == 2)
        }
    }

    @Test("a request that fails after its execution is carried out", .timeLimit(.minutes(1)))
    func failAfter() async throws {
        try await withTopic { broker, client in
            broker.intercept(.produce, times: 1) { _ in .fail(.requestTimedOut, .afterExecution) }
            let refused = try await client.produce(["a"], to: "t")
            #expect(refused.errorCode == ErrorCode.requestTimedOut.rawValue)
            #expect(try broker.records(of: "t").map(\.text) == ["a"])
            #expect(try await client.produce(["b"], to: "t").baseOffset == 1)
        }
    }

    @Test("a delay holds a request back and what comes behind it", .timeLimit(.minutes(1)))
    func delayBefore() async throws {
        try await withTopic { broker, client in
            let delay = Duration.milliseconds(300)
            broker.intercept(.produce, times: 1) { _ in .delay(delay) }
            let begin = clock.now
            async let delayed = client.produce(["a"], to: "t")
            async let others = [client.produce(["b"], to: "t"), client.produce(["c"], to: "t")]
            try await Task.sleep(for: .milliseconds(50))
            // Whichever came first is held back, and the others cannot pass it.
            let end = try broker.endOffset(of: "t")
            if clock.now - begin < delay { #expect(end == 0) }
            #expect(try await delayed.errorCode == 0)
            #expect(try await others.allSatisfy { $0.errorCode == 0 })
            #expect(clock.now - begin >= delay)
            #expect(Set(try broker.records(of: "t").map(\.text)) == ["a", "b", "c"])
        }
    }

    @Test("a delayed reply is of a request that was carried out", .timeLimit(.minutes(1)))
    func delayAfter() async throws {
        try await withTopic { broker, client in
            let delay = Duration.milliseconds(300)
            broker.intercept(.produce, times: 1) { _ in .delay(delay, .afterExecution) }
            let begin = clock.now
            async let first = client.produce(["a"], to: "t")
            while try broker.endOffset(of: "t") == 0 { try await Task.sleep(for: .milliseconds(1)) }
            // Its reply comes behind the delayed one; its records do not wait.
            async let second = client.produce(["b"], to: "t")
            while try broker.endOffset(of: "t") == 1 { try await Task.sleep(for: .milliseconds(1)) }
            #expect(try await second.baseOffset == 1)
            #expect(clock.now - begin >= delay)
            #expect(try await first.baseOffset == 0)
        }
    }

    @Test("a connection is closed before or after the execution", .timeLimit(.minutes(1)))
    func close() async throws {
        try await withTopic { broker, client in
            broker.intercept(.produce, times: 1) { _ in .closeConnection }
            let lost = await #expect(throws: ClientError.self) { try await client.produce(["a"], to: "t") }
            #expect(lost?.code == .connectionLost)
            #expect(try broker.records(of: "t").isEmpty)

            let second = try await WireClient.connect(to: broker)
            broker.intercept(.produce, times: 1) { _ in .closeConnection(.afterExecution) }
            await #expect(throws: ClientError.self) { try await second.produce(["b"], to: "t") }
            #expect(try broker.records(of: "t").map(\.text) == ["b"])
        }
    }

    private final class Answers: Sendable {
        let count = Mutex(0)
    }

    @Test("a dropped reply leaves the client waiting, and later ones too", .timeLimit(.minutes(1)))
    func drop() async throws {
        try await withTopic { broker, _ in
            for (fate, expected) in [
                (Interception.dropReply, ["a", "b"]), (.dropReply(.beforeExecution), ["a", "b", "b"]),
            ] {
                let client = try await WireClient.connect(to: broker)
                let hook = broker.intercept(.produce, times: 1) { _ in fate }
                let answers = Answers()
                let first = Task {
                    try await client.produce(["a"], to: "t")
                    answers.count.withLock { $0 += 1 }
                }
                while hook.hitCount == 0 { try await Task.sleep(for: .milliseconds(1)) }
                let second = Task {
                    try await client.produce(["b"], to: "t")
                    answers.count.withLock { $0 += 1 }
                }
                while try broker.endOffset(of: "t") < expected.count { try await Task.sleep(for: .milliseconds(1)) }
                try await Task.sleep(for: .milliseconds(100))
                #expect(answers.count.withLock { $0 } == 0)
                client.connection.close()
                await #expect(throws: ClientError.self) { try await first.value }
                await #expect(throws: ClientError.self) { try await second.value }
                #expect(try broker.records(of: "t").map(\.text) == expected)
            }
        }
    }

    @Test("a request without a reply fails with its connection", .timeLimit(.minutes(1)))
    func withoutReply() async throws {
        try await withTopic { broker, client in
            let request = try WireClient.produceRequest(["a"], to: "t", acks: 0)
            try await client.connection.sendWithoutReply(request, maximumVersion: 12)
            // The next reply is of the next request.
            #expect(try await client.produce(["b"], to: "t").baseOffset == 1)

            broker.intercept(.produce, times: 1) { _ in .fail(.notLeaderOrFollower) }
            try await client.connection.sendWithoutReply(request, maximumVersion: 12)
            await #expect(throws: ClientError.self) { try await client.produce(["c"], to: "t") }
            #expect(try broker.records(of: "t").map(\.text) == ["a", "b"])
        }
    }

    @Test("a hook knows which topics a request is about", .timeLimit(.minutes(1)))
    func topics() async throws {
        try await withTopic { broker, client in
            try await broker.createTopic("u")
            broker.intercept(.produce, .fetch) { request in
                request.topics.contains("u") ? .fail(.topicAuthorizationFailed) : .proceed
            }
            let code = ErrorCode.topicAuthorizationFailed.rawValue
            #expect(try await client.produce(["a"], to: "t").errorCode == 0)
            #expect(try await client.produce(["a"], to: "u").errorCode == code)
            // From version 13 on topics have ids.
            for version in [12, 13] as [Int16] {
                for (topic, expected) in [("t", 0), ("u", code)] {
                    var request = WireClient.fetchRequest(topic)
                    if version == 13 {
                        var ask = MetadataRequest()
                        ask.topics = [.init()]
                        ask.topics![0].name = topic
                        request.topics[0].topic = ""
                        request.topics[0].topicId = try await client.connection.send(ask).topics[0].topicId
                    }
                    let response = try await client.connection.send(request, maximumVersion: version)
                    #expect(response.responses[0].partitions[0].errorCode == expected)
                }
            }
        }
    }

    @Test("a hook counts what it decides, and knows what it is asked about", .timeLimit(.minutes(1)))
    func counting() async throws {
        try await withTopic { broker, client in
            let seen = Mutex<[InterceptedRequest]>([])
            let hook = broker.intercept(.produce, .metadata, times: 1) { request in
                seen.withLock { $0.append(request) }
                return request.number == 3 ? .fail(.notLeaderOrFollower) : .proceed
            }
            let codes = [
                try await client.produce(["a"], to: "t").errorCode, try await client.produce(["b"], to: "t").errorCode,
                try await client.produce(["c"], to: "t").errorCode, try await client.produce(["d"], to: "t").errorCode,
            ]
            #expect(codes == [0, 0, ErrorCode.notLeaderOrFollower.rawValue, 0])
            #expect(hook.hitCount == 1)
            let requests = seen.withLock { $0 }
            #expect(requests.map(\.number) == [1, 2, 3])
            #expect(
                requests.allSatisfy {
                    $0.api == .produce && $0.apiVersion == 12 && $0.clientId == "martlet" && $0.topics == ["t"]
                })

            let first = broker.intercept(.produce) { _ in .fail(.kafkaStorageError) }
            broker.intercept(.produce) { _ in .fail(.corruptMessage) }
            #expect(try await client.produce(["e"], to: "t").errorCode == ErrorCode.kafkaStorageError.rawValue)
            first.remove()
            #expect(try await client.produce(["e"], to: "t").errorCode == ErrorCode.corruptMessage.rawValue)
            // Hooks are the test's, not the process's that it restarts.
            try await broker.restart()
            let again = try await WireClient.connect(to: broker)
            #expect(try await again.produce(["e"], to: "t").errorCode == ErrorCode.corruptMessage.rawValue)
        }
    }

    @Test("a failed fetch names what its session knows, and ends it", .timeLimit(.minutes(1)), arguments: [11, 12])
    func fetchSession(version: Int16) async throws {
        try await withTopic { broker, client in
            try await client.produce(["a"], to: "t")
            let full = try await client.connection.send(
                WireClient.fetchRequest("t", session: (0, 0)), maximumVersion: version)
            #expect(full.sessionId != 0)
            for moment in [Interception.Moment.beforeExecution, .afterExecution] {
                broker.intercept(.fetch, times: 1) { _ in .fail(.notLeaderOrFollower, moment) }
                let refused = try await client.connection.send(
                    WireClient.fetchRequest("t", session: (full.sessionId, 1)), maximumVersion: version)
                #expect(refused.errorCode == 0 && refused.sessionId == 0)
                #expect(refused.responses.map(\.topic) == ["t"])
                #expect(
                    refused.responses[0].partitions.map(\.errorCode) == [ErrorCode.notLeaderOrFollower.rawValue])
            }
            let again = try await client.connection.send(
                WireClient.fetchRequest("t", session: (0, 0)), maximumVersion: version)
            #expect(again.sessionId != 0 && again.responses[0].partitions[0].records?.isEmpty == false)
        }
    }

    @Test(
        "large replies pass whole, from a file and from memory", .timeLimit(.minutes(1)),
        arguments: [BrokerTestConfiguration.Storage.memory(), .temporaryFolder])
    func largeReplies(storage: BrokerTestConfiguration.Storage) async throws {
        try await withTopic(BrokerTestConfiguration(storage: storage)) { broker, client in
            let value = String(repeating: "0123456789", count: 50_000)
            for _ in 0..<3 { try await client.produce([value], to: "t") }
            broker.intercept(.fetch, times: 1) { _ in .delay(.milliseconds(20), .afterExecution) }
            for _ in 0..<2 {
                var request = WireClient.fetchRequest("t")
                request.maxBytes = 10 << 20
                request.topics[0].partitions[0].partitionMaxBytes = 10 << 20
                let response = try await client.connection.send(request, maximumVersion: 12)
                let bytes = try #require(response.responses[0].partitions[0].records)
                let fetched = try FetchedBatches.values(bytes)
                #expect(fetched == [value, value, value])
            }
        }
    }

    @Test("transactions: committed, aborted and open ones", .timeLimit(.minutes(1)))
    func isolation() async throws {
        try await withTopic { broker, client in
            for (id, end) in [("commits", true), ("aborts", false), ("open", nil)] as [(String, Bool?)] {
                var find = FindCoordinatorRequest()
                find.keyType = 1
                find.coordinatorKeys = [id]
                _ = try await client.connection.send(find)
                var begin = InitProducerIdRequest()
                begin.transactionalId = id
                begin.transactionTimeoutMs = 60_000
                let producer = try await client.connection.send(begin, maximumVersion: 5)
                let identity = (producer.producerId, producer.producerEpoch)
                try await client.produce([id], to: "t", transactionalId: id, producer: identity, sequence: 0)
                guard let end else { continue }
                var request = EndTxnRequest()
                request.transactionalId = id
                request.producerId = producer.producerId
                request.producerEpoch = producer.producerEpoch
                request.committed = end
                broker.intercept(.endTxn, times: 1) { _ in .fail(.coordinatorNotAvailable) }
                let refused = try await client.connection.send(request)
                #expect(refused.errorCode == ErrorCode.coordinatorNotAvailable.rawValue)
                #expect(try await client.connection.send(request).errorCode == 0)
            }
            while try broker.endOffset(of: "t", isolation: .readCommitted) < 4 {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(try broker.records(of: "t").map(\.text) == ["commits"])
            let all = try broker.records(of: "t", isolation: .readUncommitted)
            #expect(all.map(\.text) == ["commits", "aborts", "open"])
            #expect(all.map(\.offset) == [0, 2, 4])
            #expect(try broker.endOffset(of: "t") == 5)
        }
    }
}
