import BrokerTestSupport
import CommitLog
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct TransactionTests {
    typealias Version = TransactionalClient.Version

    private func fixture(_ settings: [String: String] = [:]) throws -> BrokerFixture {
        let fixture = try BrokerFixture(settings.merging(["transaction.state.log.num.partitions": "2"]) { $1 })
        try fixture.createTopic("t", partitions: 2)
        return fixture
    }

    private func producer(_ fixture: BrokerFixture, _ version: Version, _ id: String = "id") throws
        -> TransactionalClient
    {
        let client = TransactionalClient(fixture, id, version)
        #expect(try client.findCoordinator() == .none)
        #expect(try client.initialize() == .none)
        return client
    }

    /// Markers are written after the reply to EndTxn.
    private func settle(_ fixture: BrokerFixture, _ partitions: [Int32] = [0, 1]) throws {
        fixture.run {
            partitions.allSatisfy { partition in
                let leader = fixture.broker.topics.topic(named: "t")!.leaders[Int(partition)]!
                return leader.log.lastStableOffset == leader.log.endOffset
                    && leader.highWatermark == leader.log.endOffset
            }
        }
    }

    @Test(
        "a committed transaction appears at once in all partitions, an aborted one never", arguments: Version.allCases)
    func commitAndAbort(_ version: Version) throws {
        let fixture = try fixture()
        let view = PartitionView(fixture)
        let client = try producer(fixture, version)
        #expect(try client.produce("t", 0, ["a"]) == .none)
        #expect(try client.produce("t", 1, ["b"]) == .none)
        #expect(try view.read("t", 0).values.isEmpty, "read before it was committed")
        #expect(try view.read("t", 0, committedOnly: false).values == ["a"])
        #expect(try view.end("t", 0) == 0)
        #expect(try view.end("t", 0, committedOnly: false) == 1)
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try view.read("t", 0).values == ["a"])
        #expect(try view.read("t", 1).values == ["b"])

        #expect(try client.produce("t", 0, ["c"]) == .none)
        #expect(try client.end(commit: false) == .none)
        try settle(fixture)
        #expect(try client.produce("t", 0, ["d"]) == .none)
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try view.read("t", 0).values == ["a", "d"])
        #expect(try view.read("t", 0, committedOnly: false).values == ["a", "c", "d"])
    }

    @Test("version 2 has an epoch for each transaction, and what is late of an earlier one is refused")
    func epochs() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .two)
        let first = client.producerEpoch
        let late = client.request("t", 0, try client.batch("t", 0, ["late"]))
        let retried = client.request("t", 1, try client.batch("t", 1, ["x"]))
        let answer = try client.ask(retried, 12)
        #expect(answer.responses[0].partitionResponses[0].errorCode == 0)
        #expect(try client.end(commit: true) == .none)
        #expect(client.producerEpoch == first + 1)
        try settle(fixture)
        for request in [late, retried] {
            let code = try client.ask(request, 12).responses[0].partitionResponses[0].errorCode
            #expect(ErrorCode(rawValue: code) == .invalidProducerEpoch)
        }
        #expect(try client.produce("t", 0, ["next"]) == .none)
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try PartitionView(fixture).read("t", 0).values == ["next"])
        #expect(try PartitionView(fixture).read("t", 1).values == ["x"])
    }

    @Test(
        "records for a partition that was never added are refused",
        arguments: [(9, ErrorCode.invalidTxnState), (11, .transactionAbortable)])
    func neverAdded(_ produceVersion: Int, _ expected: ErrorCode) throws {
        let fixture = try fixture()
        let client = try producer(fixture, .one)
        #expect(try client.add("t", [0]) == [.none])
        let request = client.request("t", 1, try client.batch("t", 1, ["x"]))
        let code = try client.ask(request, Int16(produceVersion)).responses[0].partitionResponses[0].errorCode
        #expect(ErrorCode(rawValue: code) == expected)
        #expect(try client.end(commit: true) == .none)
        #expect(try PartitionView(fixture).read("t", 1, committedOnly: false).values.isEmpty)
    }

    @Test("records after the end belong to no transaction and are refused")
    func afterTheEnd() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .one)
        #expect(try client.produce("t", 0, ["a"]) == .none)
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try client.produceUnadded("t", 0, ["late"]) == .invalidTxnState)
        #expect(try client.end(commit: false) == .invalidTxnState)
        #expect(try client.end(commit: true) == .none, "a repeated commit is answered as before")
        #expect(try PartitionView(fixture).read("t", 0, committedOnly: false).values == ["a"])
    }

    @Test("a second producer fences the first, whose open transaction is aborted", arguments: Version.allCases)
    func fencing(_ version: Version) throws {
        let fixture = try fixture()
        let zombie = try producer(fixture, version)
        #expect(try zombie.produce("t", 0, ["zombie"]) == .none)
        let successor = try producer(fixture, version)
        #expect(successor.producerId == zombie.producerId && successor.producerEpoch > zombie.producerEpoch)
        let refusal = try zombie.produceUnadded("t", 0, ["late"])
        #expect(refusal == .invalidProducerEpoch)
        #expect(try zombie.end(commit: true) == .producerFenced)
        #expect(try successor.produce("t", 0, ["new"]) == .none)
        #expect(try successor.end(commit: true) == .none)
        try settle(fixture)
        #expect(try PartitionView(fixture).read("t", 0).values == ["new"])
    }

    @Test("a client that vanishes stops readers no longer than its time-out", arguments: Version.allCases)
    func timeOut(_ version: Version) throws {
        let fixture = try fixture()
        let client = TransactionalClient(fixture, "id", version)
        #expect(try client.findCoordinator() == .none)
        #expect(try client.initialize(timeout: 50) == .none)
        #expect(try client.produce("t", 0, ["left"]) == .none)
        fixture.clock.advance(milliseconds: 60)
        try settle(fixture)
        let read = try PartitionView(fixture).read("t", 0)
        #expect(read.values.isEmpty && read.lastStableOffset == 2)
        #expect(try client.produceUnadded("t", 0, ["late"]) == .invalidProducerEpoch)
        #expect([.producerFenced, .invalidTxnState].contains(try client.end(commit: true)))
    }

    @Test("the longest time-out is the broker's")
    func longestTimeOut() throws {
        let fixture = try fixture(["transaction.max.timeout.ms": "1000"])
        let client = TransactionalClient(fixture, "id", .two)
        #expect(try client.findCoordinator() == .none)
        #expect(try client.initialize(timeout: 1001) == .invalidTransactionTimeout)
        #expect(try client.initialize(timeout: 0) == .invalidTransactionTimeout)
        #expect(try client.initialize(timeout: 1000) == .none)
    }

    @Test("requests behind an implicit add keep their order")
    func order() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .two)
        for value in ["a", "b", "c"] {
            client.sink.send(client.request("t", 0, try client.batch("t", 0, [value])), version: 12)
        }
        client.sink.send(ApiVersionsRequest(), version: 0)
        for expected in Int64(0)..<3 {
            let answer = try client.reply(ProduceResponse.self, 12).responses[0].partitionResponses[0]
            #expect(answer.errorCode == 0 && answer.baseOffset == expected)
        }
        #expect(try client.reply(ApiVersionsResponse.self, 0).errorCode == 0)
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try PartitionView(fixture).read("t", 0).values == ["a", "b", "c"])
    }

    @Test("transactional records need a transactional id, and one producer a request")
    func malformed() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .two)
        let without = Batch.produce("t", [(0, try client.batch("t", 0, ["x"]))])
        var code = try client.ask(without, 12).responses[0].partitionResponses[0].errorCode
        #expect(ErrorCode(rawValue: code) == .transactionalIdAuthorizationFailed)

        let other = try producer(fixture, .two, "other")
        var mixed = client.request("t", 0, try Batch.of(["plain"]))
        mixed.topicData[0].partitionData = try [(Int32(0), client), (1, other)].map { index, owner in
            var partition = ProduceRequest.PartitionProduceData()
            partition.index = index
            partition.records = try owner.batch("t", index, ["x"])
            return partition
        }
        let answers = try client.ask(mixed, 12).responses[0].partitionResponses
        code = answers[1].errorCode
        #expect(ErrorCode(rawValue: code) == .invalidProducerIdMapping)
        #expect(try client.end(commit: false) == .none)

        // The same partition twice, so that the one's admission could be taken for the other's.
        var twice = client.request("t", 0, try client.batch("t", 0, ["mine"]))
        let stranger = TransactionalClient(fixture, "id", .two)
        stranger.producerId = client.producerId + 1000
        stranger.producerEpoch = 0
        var second = ProduceRequest.PartitionProduceData()
        second.index = 0
        second.records = try stranger.batch("t", 0, ["not mine"])
        twice.topicData[0].partitionData.append(second)
        let codes = try client.ask(twice, 12).responses[0].partitionResponses.map { ErrorCode(rawValue: $0.errorCode) }
        #expect(codes == [.none, .invalidProducerIdMapping])
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try PartitionView(fixture).read("t", 0).values == ["mine"])
    }

    @Test("markers that no coordinator of today could send are refused, and cannot shut out its own")
    func foreignMarkers() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .one)
        #expect(try client.produce("t", 0, ["a"]) == .none)
        func write(_ topic: String, count: Int32 = 1, coordinatorEpoch: Int32) throws -> [ErrorCode] {
            var request = WriteTxnMarkersRequest()
            var marker = WriteTxnMarkersRequest.WritableTxnMarker()
            marker.producerId = client.producerId
            marker.producerEpoch = client.producerEpoch
            marker.coordinatorEpoch = coordinatorEpoch
            var named = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
            named.name = topic
            named.partitionIndexes = Array(0..<count)
            marker.topics = [named]
            request.markers = [marker]
            return try client.ask(request, 1).markers[0].topics[0].partitions.map { ErrorCode(rawValue: $0.errorCode) }
        }
        #expect(try write("t", coordinatorEpoch: 1000) == [.invalidRequest])
        #expect(try write("__transaction_state", coordinatorEpoch: 0) == [.invalidTopicException])
        #expect(try client.end(commit: true) == .none)
        try settle(fixture)
        #expect(try PartitionView(fixture).read("t", 0).values == ["a"])
        #expect(throws: TransactionalClient.NoReply.self) { try write("t", count: 10_001, coordinatorEpoch: 0) }
        #expect(client.sink.isClosed)
    }

    @Test("offsets committed in a transaction are seen when it is committed", arguments: Version.allCases)
    func offsets(_ version: Version) throws {
        let fixture = try fixture(["offsets.topic.num.partitions": "1"])
        let client = try producer(fixture, version)
        func committed(stable: Bool) throws -> (offset: Int64, error: ErrorCode) {
            try PartitionView(fixture).committedOffset(of: "g", "t", stable: stable)
        }
        for commits in [true, false, true] {
            let before = try committed(stable: true)
            let offset = max(0, before.offset) + 5
            #expect(try client.produce("t", 1, ["x"]) == .none)
            #expect(try client.commitOffset(offset, of: "t", group: "g") == .none)
            #expect(try committed(stable: false).offset == before.offset)
            #expect(try committed(stable: true).error == .unstableOffsetCommit)
            #expect(try client.end(commit: commits) == .none)
            var after = try committed(stable: true)
            fixture.run {
                after = (try? committed(stable: true)) ?? after
                return after.error == .none
            }
            #expect(after.offset == (commits ? offset : before.offset))
        }
    }

    @Test("an administrator ends a transaction that no coordinator knows")
    func hanging() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .one)
        #expect(try client.produce("t", 0, ["stuck"]) == .none)
        var request = WriteTxnMarkersRequest()
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        marker.producerId = client.producerId
        marker.producerEpoch = client.producerEpoch
        var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
        topic.name = "t"
        topic.partitionIndexes = [0, 7]
        marker.topics = [topic]
        request.markers = [marker]
        let codes = try client.ask(request, 1).markers[0].topics[0].partitions.map { ErrorCode(rawValue: $0.errorCode) }
        #expect(codes == [.none, .unknownTopicOrPartition])
        let read = try PartitionView(fixture).read("t", 0)
        #expect(read.values.isEmpty && read.lastStableOffset == 2)
    }

    @Test("describe and list tell of open transactions")
    func description() throws {
        let fixture = try fixture()
        let client = try producer(fixture, .two)
        #expect(try client.produce("t", 1, ["x"]) == .none)
        var describe = DescribeTransactionsRequest()
        describe.transactionalIds = ["id", "nobody"]
        let states = try client.ask(describe, 0).transactionStates
        let open = try #require(states.first { $0.transactionalId == "id" })
        #expect(open.transactionState == "Ongoing" && open.producerId == client.producerId)
        #expect(open.topics.map(\.topic) == ["t"] && open.topics[0].partitions == [1])
        let unknown = try #require(states.first { $0.transactionalId == "nobody" })
        #expect(ErrorCode(rawValue: unknown.errorCode) == .transactionalIdNotFound)
        var list = ListTransactionsRequest()
        list.stateFilters = ["Ongoing"]
        #expect(try client.ask(list, 0).transactionStates.map(\.transactionalId) == ["id"])
        list.stateFilters = ["Empty"]
        #expect(try client.ask(list, 0).transactionStates.isEmpty)
    }

    @Test("the broker says that it has transactions of version 2")
    func feature() throws {
        let fixture = try fixture()
        let client = TransactionalClient(fixture, "id", .two)
        let response = try client.ask(ApiVersionsRequest.named("test"), 3)
        let feature = try #require(response.finalizedFeatures.first { $0.name == "transaction.version" })
        #expect(feature.maxVersionLevel == 2 && response.finalizedFeaturesEpoch >= 0)
    }
}

extension ApiVersionsRequest {
    fileprivate static func named(_ name: String) -> ApiVersionsRequest {
        var request = ApiVersionsRequest()
        request.clientSoftwareName = name
        request.clientSoftwareVersion = "1"
        return request
    }
}
