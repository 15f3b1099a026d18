import BrokerTestSupport
import CommitLog
import Glibc
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct ProduceTests {
    private func outcome(_ response: ProduceResponse, _ partition: Int = 0) -> ProduceResponse.PartitionProduceResponse
    {
        response.responses[0].partitionResponses[partition]
    }

    @Test("every version of produce stores the batch and answers its offset", arguments: 3...13)
    func versions(_ version: Int) throws {
        let fixture = try BrokerFixture()
        let topic = try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        for expected in [Int64(0), 2] {
            var request = try Batch.produce("t", [(0, Batch.of(["a", "b"]))], acks: 1)
            request.topicData[0].topicId = version >= 13 ? topic.id : .zero
            if version >= 13 { request.topicData[0].name = "" }
            let id = client.send(request, version: Int16(version))
            fixture.run()
            let (correlationId, response) = try #require(
                try client.reply(ProduceResponse.self, version: Int16(version)))
            #expect(correlationId == id)
            #expect(outcome(response).errorCode == 0 && outcome(response).baseOffset == expected)
            if version >= 13 { #expect(response.responses[0].topicId == topic.id) }
        }
    }

    @Test("acks=all waits for the disk when the durability is fsync, and the record is not seen before")
    func waitsForSync() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let client = fixture.connect()
        let log = fixture.broker.topics.topic(named: "t")!.leaders[0]!.log
        client.send(try Batch.produce("t", [(0, Batch.of(["a"]))]), version: 9)
        fixture.run { client.received.count > 0 }
        #expect(log.durableOffset == 1, "acknowledged before it was on stable storage")
        let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(outcome(response).errorCode == 0 && outcome(response).baseOffset == 0)
    }

    @Test("a failed sync is never acknowledged, and takes the folder out of service")
    func failedSync() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let client = fixture.connect()
        fixture.simulated.inject(.init(.synchronize, pathSuffix: ".log", code: EIO))
        client.send(try Batch.produce("t", [(0, Batch.of(["a"]))]), version: 9)
        fixture.run { client.received.count > 0 }
        let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(outcome(response).errorCode == ErrorCode.kafkaStorageError.rawValue)
        #expect(fixture.broker.logs.health.isOffline)
        fixture.simulated.clearFaults()
        client.send(try Batch.produce("t", [(0, Batch.of(["b"]))]), version: 9)
        fixture.run { client.received.count > 0 }
        let (_, later) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(outcome(later).errorCode == ErrorCode.kafkaStorageError.rawValue)
    }

    @Test("a full disk refuses writes with the storage error; reads go on, and so do writes when there is room")
    func fullDisk() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let client = fixture.connect()
        func produce(_ value: String) throws -> Int16 {
            client.send(try Batch.produce("t", [(0, Batch.of([value]))]), version: 9)
            fixture.run { client.received.count > 0 }
            return outcome(try #require(try client.reply(ProduceResponse.self, version: 9)).1).errorCode
        }
        func read() throws -> [String] {
            client.send(Batch.fetch("t", offset: 0), version: 11)
            fixture.run { client.received.count > 0 }
            return try Batch.values(try #require(try client.reply(FetchResponse.self, version: 11)).1)
        }
        #expect(try produce("kept") == 0)
        fixture.simulated.inject(.init(.write, pathSuffix: ".log", code: ENOSPC, times: 1000))
        #expect(try produce("refused") == ErrorCode.kafkaStorageError.rawValue)
        #expect(try read() == ["kept"])
        fixture.simulated.clearFaults()
        #expect(try produce("later") == 0)
        #expect(try read() == ["kept", "later"])
    }

    @Test("pipelined requests of several connections are written in order, each with its own offset")
    func pipelined() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let clients = (0..<3).map { _ in fixture.connect() }
        for round in 0..<20 {
            for client in clients {
                client.send(try Batch.produce("t", [(0, Batch.of(["\(round)"]))], acks: 1), version: 7)
            }
        }
        fixture.run()
        var offsets: [Int64] = []
        for client in clients {
            var last: Int64 = -1
            for expected in 1...20 {
                let (id, response) = try #require(try client.reply(ProduceResponse.self, version: 7))
                #expect(id == Int32(expected))
                #expect(outcome(response).baseOffset > last)
                last = outcome(response).baseOffset
                offsets.append(last)
            }
        }
        #expect(offsets.sorted() == Array(0..<60))
    }

    @Test("five idempotent batches in flight: duplicates get their first offset, gaps are refused")
    func idempotence() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        func produce(_ sequence: Int32, epoch: Int16 = 0) throws -> (Int16, Int64) {
            let batch = try Batch.of(["s\(sequence)"], producerId: 7, epoch: epoch, sequence: sequence)
            client.send(Batch.produce("t", [(0, batch)], acks: 1), version: 9)
            fixture.run()
            let result = outcome(try #require(try client.reply(ProduceResponse.self, version: 9)).1)
            return (result.errorCode, result.baseOffset)
        }
        for sequence in Int32(0)..<5 { #expect(try produce(sequence) == (0, Int64(sequence))) }
        for sequence in Int32(0)..<5 { #expect(try produce(sequence) == (0, Int64(sequence)), "a duplicate") }
        #expect(try produce(7).0 == ErrorCode.outOfOrderSequenceNumber.rawValue)
        #expect(try produce(3, epoch: 1).0 == ErrorCode.outOfOrderSequenceNumber.rawValue)
        #expect(try produce(0, epoch: 1) == (0, 5), "a new epoch begins at 0")
        #expect(try produce(5, epoch: 0).0 == ErrorCode.invalidProducerEpoch.rawValue)
    }

    @Test("what is wrong with a request is said, and nothing is stored")
    func refusals() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache", "max.message.bytes": "200"])
        try fixture.createTopic("two", ["min.insync.replicas": "2"])
        let client = fixture.connect()
        func code(_ request: ProduceRequest) throws -> ErrorCode {
            client.send(request, version: 9)
            fixture.run { client.received.count > 0 }
            return ErrorCode(
                rawValue: outcome(try #require(try client.reply(ProduceResponse.self, version: 9)).1).errorCode)
        }
        var damaged = try Batch.of(["a"])
        damaged[40] ^= 1
        var old = try Batch.of(["a"])
        old[16] = 1
        #expect(try code(Batch.produce("t", [(0, damaged)])) == .corruptMessage)
        #expect(try code(Batch.produce("t", [(0, old)])) == .unsupportedForMessageFormat)
        #expect(try code(Batch.produce("t", [(0, Batch.of([String(repeating: "x", count: 300)]))])) == .messageTooLarge)
        #expect(try code(Batch.produce("t", [(3, Batch.of(["a"]))])) == .unknownTopicOrPartition)
        #expect(try code(Batch.produce("missing", [(0, Batch.of(["a"]))])) == .unknownTopicOrPartition)
        #expect(try code(Batch.produce("t", [(0, Batch.of(["a"]))], acks: 2)) == .invalidRequiredAcks)
        #expect(try code(Batch.produce("two", [(0, Batch.of(["a"]))])) == .notEnoughReplicas)
        #expect(fixture.broker.topics.topic(named: "t")!.leaders[0]!.log.endOffset == 0)
        #expect(!client.isClosed)
    }

    @Test("acks=0 gets no reply; what goes wrong closes the connection")
    func withoutReply() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        client.send(try Batch.produce("t", [(0, Batch.of(["a"]))], acks: 0), version: 7)
        fixture.run()
        #expect(client.received.isEmpty && !client.isClosed)
        #expect(fixture.broker.topics.topic(named: "t")!.leaders[0]!.log.endOffset == 1)
        client.send(try Batch.produce("missing", [(0, Batch.of(["a"]))], acks: 0), version: 7)
        #expect(client.isClosed)
    }

    @Test("a request that is malformed behind its first partition stores nothing of it")
    func malformedTail() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        var writer = ByteWriter()
        writer.write(ApiKey.produce.rawValue)
        writer.write(Int16(7))
        writer.write(Int32(1))
        writer.nullableString(nil, flexible: false)
        try Batch.produce("t", [(0, Batch.of(["a"]))], acks: 1).encode(to: &writer, version: 7)
        // A second topic is announced and missing. The count stands behind header, transactional id, acks and time-out.
        writer.patch(Int32(2), at: 10 + 2 + 2 + 4)
        client.send(frame: writer.bytes)
        fixture.run()
        #expect(client.isClosed)
        #expect(fixture.broker.topics.topic(named: "t")!.leaders[0]!.log.endOffset == 0)
    }

    @Test("acks=all that takes longer than the request's time-out is answered with the time-out")
    func timeOut() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let leader = fixture.broker.topics.topic(named: "t")!.leaders[0]!
        let client = fixture.connect()
        // The loop does not run between the append and the deadline, as with a disk that hangs.
        client.send(try Batch.produce("t", [(0, Batch.of(["a"]))]), version: 9)
        fixture.clock.advance(milliseconds: 1001)
        fixture.port.fireTimers()
        fixture.run { client.received.count > 0 }
        let (_, response) = try #require(try client.reply(ProduceResponse.self, version: 9))
        #expect(outcome(response).errorCode == ErrorCode.requestTimedOut.rawValue)
        fixture.run { leader.highWatermark == 1 }
        #expect(client.received.isEmpty, "answered twice")
    }
}
