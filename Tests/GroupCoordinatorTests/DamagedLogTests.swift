import CoordinatorCore
import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

/// Bytes of a log are checked by their CRC, but a record may still be none of ours: reading it fails, or gives a group
/// that can be worked with, and never traps.
@Suite struct DamagedLogTests {
    private static let log: [CoordinatorRecord] = {
        let harness = ShardHarness(topics: .numbered(4, 2))
        var classic = [ClassicClient("a", instanceId: "i"), ClassicClient("b")]
        harness.stabilize(&classic)
        _ = harness.commit(offset: 1, memberId: classic[0].memberId, generation: 1, instanceId: "i")
        var clients = [ConsumerClient("m0"), ConsumerClient("m1", instanceId: "j")]
        for index in clients.indices {
            clients[index].groupId = "modern"
            clients[index].topics = ["t0", "t1"]
        }
        harness.settle(&clients)
        _ = harness.commit("modern", offset: 1, memberId: "m0", generation: clients[0].epoch)
        return harness.log
    }()

    @Test(arguments: 0..<200) func damagedRecordsDoNotTrap(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var shard = GroupCoordinatorShard(configuration: GroupConfiguration(), patternMatcher: PrefixPatternMatcher())
        var actions: [GroupAction] = []
        shard.topicsChanged(.numbered(4, 2), now: 0, into: &actions)
        var loaded = 0
        for record in Self.log {
            var key = record.key
            var value = record.value
            if Bool.random(using: &generator) { value = value.map { damage($0, &generator) } }
            if Int.random(in: 0..<8, using: &generator) == 0 { key = damage(key, &generator) }
            let producer = TransactionalProducer(
                id: .random(in: -1...2, using: &generator), epoch: .random(in: -1...2, using: &generator))
            let isTransactional = Bool.random(using: &generator)
            if (try? shard.replay(key: key, value: value, by: isTransactional ? producer : nil)) != nil { loaded += 1 }
            if Int.random(in: 0..<4, using: &generator) == 0 {
                shard.replay(
                    TransactionEnd(
                        producerId: producer.id, producerEpoch: .random(in: .min ... .max, using: &generator),
                        isCommit: Bool.random(using: &generator),
                        coordinatorEpoch: .random(in: .min ... .max, using: &generator)))
            }
        }
        #expect(loaded > 0)
        shard.finishLoading(now: 1_000_000, into: &actions)
        for group in ["group", "modern"] {
            var join = JoinGroupRequest()
            join.groupId = group
            join.groupInstanceId = "i"
            join.sessionTimeoutMs = 10_000
            join.protocolType = "consumer"
            join.protocols = [JoinGroupRequest.JoinGroupRequestProtocol()]
            send(.joinGroup(join), 9, &shard, &generator)
            var client = ConsumerClient("m0")
            client.groupId = group
            send(.consumerGroupHeartbeat(client.request(full: true)), 1, &shard, &generator)
        }
        send(.listGroups(ListGroupsRequest()), 5, &shard, &generator)
        for _ in 0..<50 {
            guard let deadline = shard.nextDeadline else { break }
            var due: [GroupAction] = []
            shard.advance(now: max(deadline, 1_000_000), into: &due)
            answer(due, &shard)
        }
        #expect(shard.nextDeadline != nil)
    }

    private func send(
        _ request: GroupRequest, _ version: Int16, _ shard: inout GroupCoordinatorShard,
        _ generator: inout SeededGenerator
    ) {
        var actions: [GroupAction] = []
        shard.handle(
            request, token: RequestToken(rawValue: generator.next()),
            context: CoordinatorRequestContext(apiVersion: version, clientId: "c", clientHost: "h"), now: 1_000_000,
            using: &generator, into: &actions)
        answer(actions, &shard)
    }

    private func answer(_ actions: [GroupAction], _ shard: inout GroupCoordinatorShard) {
        var further: [GroupAction] = []
        for case .append(_, let token) in actions {
            shard.appended(token, error: nil, now: 1_000_000, into: &further)
        }
    }

    /// Changes, cuts or extends the bytes.
    private func damage(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes.removeLast(min(bytes.count, Int.random(in: 1...4, using: &generator)))
            case 1: bytes.append(UInt8.random(in: 0...255, using: &generator))
            case 2: bytes[index] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator)!
            default: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            }
        }
        return bytes
    }
}
