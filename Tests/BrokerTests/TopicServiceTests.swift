import BrokerTestSupport
import ClusterMetadata
import CommitLog
import Configuration
import Glibc
import KafkaProtocol
import Replication
import Synchronization
import Testing

@testable import Broker

@Suite struct TopicServiceTests {
    private func produce(_ fixture: BrokerFixture, _ value: String) throws {
        let client = fixture.connect()
        client.send(try Batch.produce("t", [(0, Batch.of([value]))]), version: 9)
        fixture.run { client.received.count > 0 }
        let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(response.responses[0].partitionResponses[0].errorCode == 0)
    }

    private func read(_ fixture: BrokerFixture) throws -> [String] {
        let client = fixture.connect()
        client.send(Batch.fetch("t", offset: 0), version: 11)
        fixture.run { client.received.count > 0 }
        return try Batch.values(try #require(try client.reply(FetchResponse.self, version: 11)).1)
    }

    @Test("a topic that was deleted and made again is another topic, also when the node stopped in between")
    func recreated() throws {
        let disk = SimulatedFileSystem(seed: 3)
        let store = MemoryMetadataStore()
        let fixture = try BrokerFixture(fileSystem: disk, store: store)
        try fixture.createTopic("t")
        try produce(fixture, "old")
        // The metadata is gone, the files are not: what a crash in the middle of a deletion leaves behind.
        var deletion = MetadataTransaction()
        deletion.deleteTopic(named: "t", from: fixture.broker.cluster.image)
        try fixture.broker.cluster.commit(deletion)
        fixture.broker.quiesce()
        try fixture.broker.close()

        disk.restartProcess()
        let again = try BrokerFixture(fileSystem: disk, store: store)
        #expect(again.broker.topics.topic(named: "t") == nil)
        try again.createTopic("t")
        #expect(try read(again).isEmpty)
        try produce(again, "new")
        #expect(try read(again) == ["new"])
    }

    @Test(
        "what was acknowledged is there after a crash of the machine, in order; what was not may be, whole or not at all"
    )
    func crash() throws {
        for seed in UInt64(1)...20 {
            let disk = SimulatedFileSystem(seed: seed)
            let store = MemoryMetadataStore()
            let fixture = try BrokerFixture(fileSystem: disk, store: store)
            try fixture.createTopic("t", ["segment.bytes": "300"])
            disk.crash(atOperation: disk.operationCount + Int(seed) * 7)
            var acknowledged: [String] = []
            for number in 0..<40 {
                let client = fixture.connect()
                client.send(try Batch.produce("t", [(0, Batch.of(["\(number)"]))]), version: 9)
                fixture.run { client.received.count > 0 }
                let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
                if response.responses[0].partitionResponses[0].errorCode == 0 { acknowledged.append("\(number)") }
            }
            #expect(disk.hasCrashed && acknowledged.count < 40, "seed \(seed)")
            fixture.broker.quiesce()

            disk.restart()
            let again = try BrokerFixture(fileSystem: disk, store: store)
            let found = try (0..<10).reduce(into: [String]()) { values, _ in
                let client = again.connect()
                client.send(Batch.fetch("t", offset: Int64(values.count)), version: 11)
                again.run { client.received.count > 0 }
                values += try Batch.values(try #require(try client.reply(FetchResponse.self, version: 11)).1)
            }
            #expect(Array(found.prefix(acknowledged.count)) == acknowledged, "seed \(seed)")
            #expect(found.count <= acknowledged.count + 1, "seed \(seed): \(found.count) of \(acknowledged.count)")
        }
    }

    @Test("changed configurations reach the data path")
    func configuration() throws {
        let fixture = try BrokerFixture()
        var topic = try fixture.createTopic("t")
        try topic.configuration.set("max.message.bytes", to: "10", in: TopicConfigurations.byName)
        try fixture.broker.topicService.update(topic)
        let client = fixture.connect()
        client.send(try Batch.produce("t", [(0, Batch.of(["a"]))]), version: 9)
        fixture.run { client.received.count > 0 }
        let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(response.responses[0].partitionResponses[0].errorCode == ErrorCode.messageTooLarge.rawValue)
    }

    @Test("a creation that fails half-way leaves nothing behind, and the next one of the name begins from nothing")
    func failedCreation() throws {
        let disk = SimulatedFileSystem(seed: 3)
        let store = MemoryMetadataStore()
        let fixture = try BrokerFixture(fileSystem: disk, store: store)
        disk.inject(.init(.open, pathSuffix: "t-2/00000000000000000000.log", code: EMFILE, times: 1))
        #expect(throws: MetadataRefusal.self) { try fixture.createTopic("t", partitions: 4) }
        #expect(fixture.broker.cluster.image.topic(named: "t") == nil)
        #expect(fixture.broker.logs.allLogs.isEmpty && !fixture.broker.logs.health.isOffline)
        try fixture.createTopic("t", partitions: 4)
        try produce(fixture, "kept")
        fixture.broker.quiesce()
        try fixture.broker.close()

        disk.restart()
        #expect(try read(BrokerFixture(fileSystem: disk, store: store)) == ["kept"])
    }

    @Test("a client's waiting fetch and a coordinator's waiting append are told apart, whatever their numbers")
    func waiters() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let leader = fixture.broker.topics.topic(named: "t")!.leaders[0]!
        let other = RecordingListener()
        #expect(leader.wait(.init(offset: 1, listener: other, connection: 1, slot: 1, index: 0)) == .waiting)
        leader.stopWaiting(fixture.loop, connection: 1, slot: 1)
        #expect(leader.waiterTotal == 1)
        leader.end(.failed)
        #expect(other.failures == 1)
        #expect(leader.wait(.init(offset: 1, listener: other, connection: 1, slot: 1, index: 0)) == .over(.failed))
    }
}

private final class RecordingListener: PartitionListener {
    private let count = Mutex(0)
    var failures: Int { count.withLock { $0 } }

    func wake(_ waiter: PartitionWaiter, _ result: WaitResult) {
        if result == .failed { count.withLock { $0 += 1 } }
    }
}
