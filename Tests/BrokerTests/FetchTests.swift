import BrokerTestSupport
import CommitLog
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct FetchTests {
    private func produce(_ client: ManualSink, _ fixture: BrokerFixture, _ values: [String]) throws {
        client.send(try Batch.produce("t", [(0, Batch.of(values))], acks: 1), version: 7)
        fixture.run { client.received.count > 0 }
        _ = try client.reply(ProduceResponse.self, version: 7)
    }

    @Test("every version returns what was produced", arguments: 4...18)
    func versions(_ version: Int) throws {
        let fixture = try BrokerFixture()
        let topic = try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        try produce(client, fixture, ["a", "b", "c"])
        var request = Batch.fetch("t", offset: 0)
        if version >= 13 {
            request.topics[0].topic = ""
            request.topics[0].topicId = topic.id
        }
        client.send(request, version: Int16(version))
        fixture.run { client.received.count > 0 }
        let (_, response) = try #require(try client.reply(FetchResponse.self, version: Int16(version)))
        #expect(try Batch.values(response) == ["a", "b", "c"])
        #expect(response.responses[0].partitions[0].highWatermark == 3)
    }

    @Test("a fetch waits for data and returns when it comes")
    func longPoll() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let consumer = fixture.connect()
        let producer = fixture.connect()
        consumer.send(Batch.fetch("t", offset: 0, wait: 500), version: 11)
        fixture.run()
        #expect(consumer.received.isEmpty)
        try produce(producer, fixture, ["a"])
        fixture.run { consumer.received.count > 0 }
        #expect(try Batch.values(try #require(try consumer.reply(FetchResponse.self, version: 11)).1) == ["a"])
    }

    @Test("a fetch that finds nothing returns empty when its time is up, and no waiter stays behind")
    func longPollTimeOut() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        for _ in 0..<3 {
            client.send(Batch.fetch("t", offset: 0, wait: 500), version: 11)
            fixture.run()
            fixture.clock.advance(milliseconds: 501)
            fixture.port.fireTimers()
            fixture.run { client.received.count > 0 }
            let (_, response) = try #require(try client.reply(FetchResponse.self, version: 11))
            #expect(try Batch.values(response).isEmpty && response.errorCode == 0)
        }
        #expect(fixture.broker.topics.topic(named: "t")!.leaders[0]!.waiterTotal == 0)
    }

    @Test("replies keep the order of the requests, also behind a fetch that waits")
    func order() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        let first = client.send(Batch.fetch("t", offset: 0, wait: 500), version: 11)
        let second = client.send(MetadataRequest(), version: 1)
        let third = client.send(try Batch.produce("t", [(0, Batch.of(["a"]))], acks: 1), version: 7)
        fixture.run { client.received.count > 0 }
        #expect(try #require(try client.reply(FetchResponse.self, version: 11)).correlationId == first)
        #expect(try #require(try client.reply(MetadataResponse.self, version: 1)).correlationId == second)
        #expect(try #require(try client.reply(ProduceResponse.self, version: 7)).correlationId == third)
    }

    @Test("an incremental session tells only what changed")
    func session() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", partitions: 2, ["durability": "page-cache"])
        let client = fixture.connect()
        func fetch(_ request: FetchRequest) throws -> FetchResponse {
            client.send(request, version: 11)
            fixture.run { client.received.count > 0 }
            return try #require(try client.reply(FetchResponse.self, version: 11)).1
        }
        var full = Batch.fetch("t", offset: 0)
        full.sessionEpoch = 0
        full.topics[0].partitions.append(Batch.fetch("t", offset: 0, partition: 1).topics[0].partitions[0])
        let opened = try fetch(full)
        #expect(opened.sessionId > 0 && opened.responses[0].partitions.count == 2)

        var next = FetchRequest()
        next.maxBytes = 1 << 20
        next.sessionId = opened.sessionId
        next.sessionEpoch = 1
        #expect(try fetch(next).responses.isEmpty, "nothing changed")

        try produce(client, fixture, ["a"])
        next.sessionEpoch = 2
        let changed = try fetch(next)
        #expect(try Batch.values(changed) == ["a"])
        #expect(changed.responses[0].partitions.map(\.partitionIndex) == [0])

        next.sessionEpoch = 2
        #expect(try fetch(next).errorCode == ErrorCode.invalidFetchSessionEpoch.rawValue)
        next.sessionEpoch = -1
        _ = try fetch(next)
        next.sessionEpoch = 3
        #expect(try fetch(next).errorCode == ErrorCode.fetchSessionIdNotFound.rawValue)
    }

    @Test("offsets beyond the log's ends are out of range")
    func outOfRange() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        try produce(client, fixture, ["a"])
        for offset in [Int64(2), -1, 100] {
            client.send(Batch.fetch("t", offset: offset, wait: 100), version: 11)
            fixture.run { client.received.count > 0 }
            let (_, response) = try #require(try client.reply(FetchResponse.self, version: 11))
            #expect(response.responses[0].partitions[0].errorCode == ErrorCode.offsetOutOfRange.rawValue)
        }
    }

    @Test("records that are not on stable storage yet are not seen")
    func visibility() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let leader = fixture.broker.topics.topic(named: "t")!.leaders[0]!
        let bytes = try Batch.of(["a"])
        bytes.withUnsafeBytes { memory in
            var appends = [PendingAppend(header: .init(memory)!, bytes: memory)]
            // Straight into the log, so that no sync is asked for.
            leader.log.append(&appends, leaderEpoch: 0, now: 0)
        }
        let client = fixture.connect()
        client.send(Batch.fetch("t", offset: 0), version: 11)
        fixture.run { client.received.count > 0 }
        #expect(try Batch.values(try #require(try client.reply(FetchResponse.self, version: 11)).1).isEmpty)
    }
}
