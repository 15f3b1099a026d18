import Broker
import BrokerTestSupport
import CommitLog
import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import RecordFormat

/// What is measured. `make` prepares; the closure that it returns is one operation.
struct Scenario: Sendable {
    var name: String
    var make: @Sendable () throws -> () throws -> Void

    static let all: [Scenario] = [
        Scenario(name: "codec-metadata") {
            var request = MetadataRequest()
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.name = "orders"
            request.topics = [topic]
            let bytes = request.encoded(version: 12)
            return {
                let decoded = try MetadataRequest.decode(bytes, version: 12)
                precondition(decoded.encoded(version: 12).count == bytes.count)
            }
        },
        Scenario(name: "codec-offset-commit") {
            var request = OffsetCommitRequest()
            request.groupId = "group"
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            topic.name = "orders"
            topic.partitions = (0..<10).map { index in
                var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
                partition.partitionIndex = Int32(index)
                partition.committedOffset = 1000
                return partition
            }
            request.topics = [topic]
            let bytes = request.encoded(version: 8)
            return {
                let decoded = try OffsetCommitRequest.decode(bytes, version: 8)
                precondition(decoded.encoded(version: 8).count == bytes.count)
            }
        },
        Scenario(name: "validate-150-records") {
            let batch = try Batch.of((0..<150).map { _ in String(repeating: "x", count: 100) })
            let validator = RecordBatchValidator()
            let rules = RecordBatchRules()
            return {
                batch.withUnsafeBytes { bytes in
                    guard case .accepted = validator.validate(bytes, rules: rules, now: 1_700_000_000_000) else {
                        preconditionFailure("a good batch was refused")
                    }
                }
            }
        },
        Scenario(name: "append-32-batches") {
            let fixture = try BrokerFixture(fileSystem: NullFileSystem())
            try fixture.createTopic("t", ["durability": "page-cache"])
            let log = fixture.broker.topics.topic(named: "t")!.leaders[0]!.log
            let batch = try Batch.of([String(repeating: "x", count: 100)])
            var appends: [PendingAppend] = []
            return {
                withExtendedLifetime(fixture) {
                    batch.withUnsafeBytes { bytes in
                        let header = RecordBatchHeader(bytes)!
                        appends.removeAll(keepingCapacity: true)
                        for _ in 0..<32 { appends.append(PendingAppend(header: header, bytes: bytes)) }
                        log.append(&appends, leaderEpoch: 0, now: 1_700_000_000_000)
                    }
                }
            }
        },
        // Sixteen requests of a connection in one tick, with one record and with 150: the difference is what a record
        // costs, and no allocation is allowed in it.
        produce(name: "produce-1-record", records: 1),
        produce(name: "produce-150-records", records: 150),
        Scenario(name: "fetch") {
            let fixture = try BrokerFixture(fileSystem: NullFileSystem())
            try fixture.createTopic("t", ["durability": "page-cache"])
            let client = fixture.connect()
            client.send(
                Batch.produce("t", [(0, try Batch.of((0..<150).map { "\($0)" }))], acks: 1), version: 7)
            fixture.run()
            client.received.removeAll()
            let frame = Frame.of(Batch.fetch("t", offset: 0), version: 4)
            return {
                client.send(frame: frame)
                fixture.port.runAll()
                client.received.removeAll(keepingCapacity: true)
            }
        },
        Scenario(name: "group-heartbeat") {
            var group = Group()
            try group.join()
            var request = HeartbeatRequest()
            request.groupId = "group"
            request.memberId = group.memberId
            request.generationId = 1
            return {
                group.now += 1
                group.send(.heartbeat(request))
                guard case .reply(_, .heartbeat(let response))? = group.actions.last, response.errorCode == 0 else {
                    preconditionFailure("the member is not in its group")
                }
            }
        },
    ]

    private static func produce(name: String, records: Int) -> Scenario {
        Scenario(name: name) {
            let fixture = try BrokerFixture(fileSystem: NullFileSystem())
            try fixture.createTopic("t", ["durability": "page-cache"])
            let client = fixture.connect()
            let batch = try Batch.of((0..<records).map { _ in String(repeating: "x", count: 100) })
            let frame = Frame.of(Batch.produce("t", [(0, batch)], acks: 1), version: 7)
            return {
                for _ in 0..<16 { client.send(frame: frame) }
                fixture.port.runAll()
                precondition(!client.received.isEmpty)
                client.received.removeAll(keepingCapacity: true)
            }
        }
    }
}

private enum Frame {
    static func of<Request: ProtocolRequest>(_ request: Request, version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Request.apiKey.rawValue)
        writer.write(version)
        writer.write(Int32(1))
        writer.nullableString("benchmark", flexible: false)
        if version >= Request.firstFlexibleVersion { writer.noTaggedFields() }
        request.encode(to: &writer, version: version)
        return writer.bytes
    }
}

/// A classic group with one member, driven without a log.
private struct Group {
    private var shard: GroupCoordinatorShard
    private var nextToken: UInt64 = 0
    var actions: [GroupAction] = []
    var now: Int64 = 1_700_000_000_000
    var memberId = ""

    private struct NoPatterns: TopicPatternMatcher {
        func topics(matching pattern: String, among topics: some Collection<String>) -> Set<String>? { nil }
    }

    init() {
        var configuration = GroupConfiguration()
        configuration.groupInitialRebalanceDelayMs = 0
        shard = GroupCoordinatorShard(configuration: configuration, patternMatcher: NoPatterns())
        shard.topicsChanged(TopicsImage(), now: now, into: &actions)
        shard.finishLoading(now: now, into: &actions)
    }

    mutating func send(_ request: GroupRequest) {
        actions.removeAll(keepingCapacity: true)
        var generator = SystemRandomNumberGenerator()
        shard.handle(
            request, token: RequestToken(rawValue: nextToken),
            context: CoordinatorRequestContext(apiVersion: 3, clientId: "c", clientHost: "/h"), now: now,
            using: &generator,
            into: &actions)
        nextToken += 1
        // Appends succeed at once.
        for case .append(_, let token) in actions { shard.appended(token, error: nil, now: now, into: &actions) }
    }

    mutating func join() throws {
        var join = JoinGroupRequest()
        join.groupId = "group"
        join.protocolType = "consumer"
        join.sessionTimeoutMs = 30_000
        join.rebalanceTimeoutMs = 30_000
        var candidate = JoinGroupRequest.JoinGroupRequestProtocol()
        candidate.name = "range"
        join.protocols = [candidate]
        send(.joinGroup(join))
        if actions.isEmpty { shard.advance(now: now, into: &actions) }
        guard case .reply(_, .joinGroup(let joined))? = actions.last else {
            preconditionFailure("nobody answered the join")
        }
        memberId = joined.memberId
        var sync = SyncGroupRequest()
        sync.groupId = "group"
        sync.memberId = memberId
        sync.generationId = joined.generationId
        send(.syncGroup(sync))
    }
}
