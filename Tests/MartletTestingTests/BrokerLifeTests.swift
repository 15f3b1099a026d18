import Foundation
import KafkaProtocol
import MartletClient
import MartletTesting
import Testing

/// Start, restart, crash and end of brokers.
@Suite struct BrokerLifeTests {
    private static let storages: [BrokerTestConfiguration.Storage] = [.memory(), .temporaryFolder]

    @Test("what a client writes is in the log", .timeLimit(.minutes(1)), arguments: storages)
    func records(storage: BrokerTestConfiguration.Storage) async throws {
        let address = try await withBroker(BrokerTestConfiguration(storage: storage)) { broker in
            try await broker.createTopic("t", partitions: 2, configuration: ["max.message.bytes": "1000"])
            let client = try await WireClient.connect(to: broker)
            #expect(try await client.produce(["a", "b"], to: "t", partition: 1).baseOffset == 0)
            #expect(try await client.produce(["c"], to: "t", partition: 1).baseOffset == 2)
            let tooLarge = try await client.produce([String(repeating: "x", count: 2000)], to: "t")
            #expect(tooLarge.errorCode == ErrorCode.messageTooLarge.rawValue)

            let records = try broker.records(of: "t", partition: 1)
            #expect(records.map(\.text) == ["a", "b", "c"])
            #expect(records.map(\.keyText) == ["k0", "k1", "k0"])
            #expect(records.map(\.offset) == [0, 1, 2])
            #expect(records[0].timestamp == 1_700_000_000_000)
            #expect(records[0].headers == [StoredRecord.Header(key: "h", value: [1])])
            #expect(try broker.records(of: "t", partition: 0).isEmpty)
            #expect(try broker.endOffset(of: "t", partition: 1) == 3)
            return broker.bootstrapServers
        }
        await #expect(throws: ClientError.self) { _ = try await WireClient.connect(to: address) }
    }

    @Test("a clean restart keeps data, groups and the address", .timeLimit(.minutes(1)), arguments: storages)
    func restart(storage: BrokerTestConfiguration.Storage) async throws {
        try await withBroker(BrokerTestConfiguration(storage: storage)) { broker in
            try await broker.createTopic("t")
            let before = try await WireClient.connect(to: broker)
            try await before.produce(["a"], to: "t")
            #expect(try await broker.committedOffset(of: "g", topic: "t") == nil)
            #expect(try await before.commit(1, group: "g", topic: "t") == 0)
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 1)
            let address = broker.bootstrapServers

            try await broker.restart()
            #expect(broker.bootstrapServers == address)
            let after = try await WireClient.connect(to: broker)
            #expect(try await after.produce(["b"], to: "t").baseOffset == 1)
            #expect(try broker.records(of: "t").map(\.text) == ["a", "b"])
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 1)
        }
    }

    @Test("a killed process loses nothing that was acknowledged", .timeLimit(.minutes(1)), arguments: storages)
    func kill(storage: BrokerTestConfiguration.Storage) async throws {
        try await withBroker(BrokerTestConfiguration(storage: storage)) { broker in
            try await broker.createTopic("t")
            for round in 0..<3 {
                let client = try await WireClient.connect(to: broker)
                #expect(try await client.produce(["r\(round)"], to: "t").errorCode == 0)
                try await broker.crash()
                #expect(!broker.isRunning)
                await #expect(throws: ClientError.self) { _ = try await client.produce(["lost"], to: "t") }
                await #expect(throws: ClientError.self) { _ = try await WireClient.connect(to: broker) }
                try await broker.start()
            }
            #expect(try broker.records(of: "t").map(\.text) == ["r0", "r1", "r2"])
        }
    }

    @Test("a power failure takes what was not synchronized, and only that", .timeLimit(.minutes(1)))
    func power() async throws {
        var lost = 0
        for seed in 1...12 as ClosedRange<UInt64> {
            try await withBroker(BrokerTestConfiguration(storage: .memory(seed: seed))) { broker in
                try await broker.createTopic("safe")
                try await broker.createTopic("fast", configuration: ["durability": "page-cache"])
                let client = try await WireClient.connect(to: broker)
                for index in 0..<5 {
                    #expect(try await client.produce(["\(index)"], to: "safe").errorCode == 0)
                    #expect(try await client.produce(["\(index)"], to: "fast").errorCode == 0)
                }
                try await broker.crash(.power)
                try await broker.start()
                let all = (0..<5).map { "\($0)" }
                #expect(try broker.records(of: "safe").map(\.text) == all)
                let rest = try broker.records(of: "fast").map { $0.text ?? "" }
                #expect(rest == Array(all.prefix(rest.count)))
                lost += all.count - rest.count
            }
        }
        #expect(lost > 0)
    }

    @Test("only a disk in memory loses power", .timeLimit(.minutes(1)))
    func powerOfARealDisk() async throws {
        try await withBroker(BrokerTestConfiguration(storage: .temporaryFolder)) { broker in
            let error = await #expect(throws: TestBrokerError.self) { try await broker.crash(.power) }
            #expect(error?.code == .wrongState)
            #expect(broker.isRunning)
        }
    }

    @Test("brokers live beside each other and know nothing of each other", .timeLimit(.minutes(1)))
    func beside() async throws {
        let addresses = try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<8 {
                group.addTask {
                    try await withBroker { broker in
                        try await broker.createTopic("t")
                        let client = try await WireClient.connect(to: broker)
                        for round in 0..<5 {
                            try await client.produce(["\(index)-\(round)"], to: "t")
                            if round == 2 && index % 2 == 0 {
                                try await broker.restart()
                                let again = try await WireClient.connect(to: broker)
                                try await again.produce(["\(index)-again"], to: "t")
                                break
                            }
                        }
                        let texts = try broker.records(of: "t").compactMap(\.text)
                        #expect(texts.count == (index % 2 == 0 ? 4 : 5))
                        #expect(texts.allSatisfy { $0.hasPrefix("\(index)-") })
                        return broker.bootstrapServers
                    }
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(!addresses.isEmpty)
    }

    @Test("a broker is ready within milliseconds", .timeLimit(.minutes(1)))
    func startTime() async throws {
        let clock = ContinuousClock()
        var fastest = Duration.seconds(60)
        // Far above what it takes, and more than one try, for machines that are busy.
        for _ in 0..<100 where fastest >= .milliseconds(200) {
            let begin = clock.now
            let ready = try await withBroker { _ in clock.now }
            fastest = min(fastest, ready - begin)
        }
        #expect(fastest < .milliseconds(200))
    }

    @Test("a disk in memory is no slower for being synchronized often", .timeLimit(.minutes(1)))
    func longLog() async throws {
        try await withBroker { broker in
            try await broker.createTopic("t")
            let client = try await WireClient.connect(to: broker)
            let value = String(repeating: "x", count: 100_000)
            let clock = ContinuousClock()
            func rounds() async throws -> Duration {
                var fastest = Duration.seconds(60)
                for _ in 0..<50 {
                    let begin = clock.now
                    try await client.produce([value], to: "t")
                    fastest = min(fastest, clock.now - begin)
                }
                return fastest
            }
            let early = try await rounds()
            for _ in 0..<3 { _ = try await rounds() }
            // 20 MB later; a copy of the log at each synchronization would make it many times as long.
            #expect(try await rounds() < early * 4 + .milliseconds(2))
        }
    }

    @Test("nothing of a broker is left behind", .timeLimit(.minutes(1)), arguments: storages)
    func leavings(storage: BrokerTestConfiguration.Storage) async throws {
        weak var last: TestBroker?
        for _ in 0..<20 {
            try await withBroker(BrokerTestConfiguration(storage: storage)) { broker in
                last = broker
                try await broker.createTopic("t")
                let client = try await WireClient.connect(to: broker)
                try await client.produce(["a"], to: "t")
                #expect(try await client.commit(1, group: "g", topic: "t") == 0)
                client.connection.close()
                if storage == .memory() { try await broker.crash() }
            }
        }
        #expect(last == nil)
        let folders = try FileManager.default.contentsOfDirectory(
            atPath: FileManager.default.temporaryDirectory.path)
        // Of this test's none is left; those of tests beside it are theirs.
        if storage == .temporaryFolder {
            let mine = folders.filter { $0.hasPrefix("martlet-testing-") }
            #expect(mine.count < 15, "\(mine)")
        }
    }

    @Test("the broker ends with a body that throws, and the error comes through", .timeLimit(.minutes(1)))
    func throwing() async throws {
        struct Mine: Error {}
        var address = ""
        await #expect(throws: Mine.self) {
            try await withBroker { broker in
                address = broker.bootstrapServers
                throw Mine()
            }
        }
        await #expect(throws: ClientError.self) { _ = try await WireClient.connect(to: address) }
    }

    @Test("the broker ends with a task that is cancelled", .timeLimit(.minutes(1)))
    func cancellation() async throws {
        let (addresses, continuation) = AsyncStream<String>.makeStream()
        let task = Task {
            try await withBroker(BrokerTestConfiguration(storage: .temporaryFolder)) { broker in
                continuation.yield(broker.bootstrapServers)
                try await Task.sleep(for: .seconds(600))
            }
        }
        var iterator = addresses.makeAsyncIterator()
        let address = try #require(await iterator.next())
        _ = try await WireClient.connect(to: address)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await #expect(throws: ClientError.self) { _ = try await WireClient.connect(to: address) }
    }

    @Test("a wrong setting is told before anything runs", .timeLimit(.minutes(1)))
    func settings() async throws {
        for settings in [
            ["num.partitoins": "3"], ["num.partitions": "many"], ["listeners": "PLAINTEXT://:9092"],
            ["log.dirs": "/elsewhere"], ["max.message.bytes": "1000"],
        ] {
            let error = await #expect(throws: TestBrokerError.self) {
                try await withBroker(BrokerTestConfiguration(settings: settings)) { _ in Issue.record("it runs") }
            }
            #expect(error?.code == .invalidSetting)
        }
    }

    @Test("helpers tell what is not there", .timeLimit(.minutes(1)))
    func helpers() async throws {
        try await withBroker { broker in
            #expect(throws: TestBrokerError.self) { try broker.records(of: "t") }
            try await broker.createTopic("t")
            #expect(throws: TestBrokerError.self) { try broker.endOffset(of: "t", partition: 1) }
            let refused = await #expect(throws: TestBrokerError.self) { try await broker.createTopic("t") }
            #expect(refused?.brokerError == .topicAlreadyExists)
            let running = await #expect(throws: TestBrokerError.self) { try await broker.start() }
            #expect(running?.code == .wrongState)
            try await broker.stop()
            let stopped = #expect(throws: TestBrokerError.self) { try broker.records(of: "t") }
            #expect(stopped?.code == .wrongState)
        }
    }
}
