import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct OffsetExpirationTests {
    private let topics = TopicsImage.numbered(4, 2)
    private let day: Int64 = 86_400_000

    private func harness() -> ShardHarness { ShardHarness(topics: topics) }

    private func list(_ harness: ShardHarness) -> [String] {
        let token = harness.send(.listGroups(ListGroupsRequest()), version: 5)
        guard case .listGroups(let response)? = harness.replies[token] else { fatalError("no reply") }
        return response.groups.map(\.groupId)
    }

    @Test func standaloneOffsetsAgeFromTheirCommit() {
        let harness = harness()
        _ = harness.commit(offset: 1)
        harness.advance(by: 3 * day)
        _ = harness.commit(partition: 1, offset: 2)
        harness.advance(by: 4 * day + 600_000)
        #expect(harness.fetch(partition: 0) == -1)
        #expect(harness.fetch(partition: 1) == 2)
        #expect(list(harness) == ["group"])
        harness.advance(by: 3 * day)
        #expect(harness.fetch(partition: 1) == -1)
        // The group goes with its last offset, and the log says so.
        #expect(list(harness) == [])
        guard case .groupMetadata(let key, nil)? = harness.records.last else {
            Issue.record("no tombstone")
            return
        }
        #expect(key.group == "group")
        harness.restart()
        #expect(list(harness) == [])
    }

    @Test func offsetsOfAnEmptyGroupAgeFromItsLastMember() {
        let harness = harness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        #expect(harness.commit(offset: 1, memberId: clients[0].memberId, generation: 1) == .none)
        for _ in 0..<(9 * 24 * 400) {
            harness.advance(by: 9_000)
            guard clients[0].heartbeat(harness) == .none else {
                Issue.record("the member died")
                return
            }
        }
        #expect(harness.fetch() == 1)
        _ = clients[0].leave(harness)
        harness.advance(by: 6 * day)
        #expect(harness.fetch() == 1)
        harness.advance(by: 1 * day + 600_000)
        #expect(harness.fetch() == -1)
    }

    @Test func topicsThatAStableGroupNoLongerReadsExpire() {
        let harness = harness()
        _ = harness.commit(topic: "t0", offset: 1)
        _ = harness.commit(topic: "t1", offset: 2)
        var client = ConsumerClient("m")
        client.heartbeat(harness)
        for _ in 0..<(8 * 24 * 90) {
            harness.advance(by: 40_000)
            client.heartbeat(harness)
        }
        #expect(client.epoch == 1)
        #expect(harness.fetch(topic: "t0") == 1)
        #expect(harness.fetch(topic: "t1") == -1)
    }

    @Test func clientsOfOldVersionsChooseTheRetention() {
        let harness = harness()
        _ = harness.commit(offset: 1, retentionMs: 1_000_000, version: 4)
        harness.restart()
        harness.advance(by: 600_000)
        #expect(harness.fetch() == 1)
        harness.advance(by: 600_000)
        #expect(harness.fetch() == -1)
    }

    @Test func absurdRetentionIsForEver() {
        let harness = harness()
        _ = harness.commit(offset: 1, retentionMs: .max, version: 4)
        harness.advance(by: 30 * day)
        #expect(harness.fetch() == 1)
    }

    @Test func ruleOfEachKindOfGroup() {
        var group = ClassicGroup(groupId: "g")
        #expect(group.offsetExpirationRule == .sinceCommit)
        group.protocolType = "consumer"
        group.transition(to: .empty, now: 5)
        #expect(group.offsetExpirationRule == .since(5))
        group.transition(to: .preparingRebalance, now: 6)
        #expect(group.offsetExpirationRule == .never)
        group.transition(to: .stable, now: 7)
        #expect(group.offsetExpirationRule == .sinceCommit)
        group.protocolType = "connect"
        #expect(group.offsetExpirationRule == .never)
    }
}
