import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct ClassicSyncTests {
    /// Two members that have joined generation 1; the leader comes first.
    private func joined(_ harness: ShardHarness) -> [ClassicClient] {
        var clients = [ClassicClient("a"), ClassicClient("b")]
        let tokens = clients.indices.map { clients[$0].joinWithId(harness) }
        harness.advance(by: 6_000)
        for index in clients.indices { clients[index].take(harness.join(tokens[index])) }
        return clients.sorted { left, _ in left.memberId == left.leader }
    }

    @Test func followersWaitForTheLeader() {
        let harness = ShardHarness()
        let clients = joined(harness)
        let follower = clients[1].sync(harness)
        #expect(harness.sync(follower) == nil)
        let leader = clients[0].sync(harness, [clients[0].memberId: [1], clients[1].memberId: [2]])
        #expect(harness.sync(leader)?.assignment == [1])
        #expect(harness.sync(follower)?.assignment == [2])
        #expect(harness.sync(follower)?.protocolName == "range")
        // A lost reply can be asked for again.
        #expect(harness.sync(clients[1].sync(harness))?.assignment == [2])
        #expect(harness.describe().members.map(\.memberAssignment).sorted { $0[0] < $1[0] } == [[1], [2]])
    }

    @Test func membersWithoutAnAssignmentGetAnEmptyOne() {
        let harness = ShardHarness()
        let clients = joined(harness)
        let follower = clients[1].sync(harness)
        _ = clients[0].sync(harness, [clients[0].memberId: [1]])
        #expect(harness.sync(follower)?.assignment == [])
        #expect(harness.syncError(follower) == ErrorCode.none)
    }

    @Test func staleAndForeignRequestsAreRefused() {
        let harness = ShardHarness()
        var clients = joined(harness)
        #expect(harness.syncError(clients[1].sync(harness, protocolName: "sticky")) == .inconsistentGroupProtocol)
        clients[1].protocolType = "connect"
        #expect(harness.syncError(clients[1].sync(harness, protocolName: "range")) == .inconsistentGroupProtocol)
        clients[1].generation = 0
        #expect(harness.syncError(clients[1].sync(harness)) == .illegalGeneration)
        clients[1].memberId = "unknown"
        #expect(harness.syncError(clients[1].sync(harness)) == .unknownMemberId)
        clients[1].groupId = "unknown"
        #expect(harness.syncError(clients[1].sync(harness)) == .unknownMemberId)
        clients[1].groupId = ""
        #expect(harness.syncError(clients[1].sync(harness)) == .invalidGroupId)
    }

    @Test func rebalanceCallsWaitingMembersBack() {
        let harness = ShardHarness()
        let clients = joined(harness)
        let follower = clients[1].sync(harness)
        var third = ClassicClient("c")
        _ = third.joinWithId(harness)
        #expect(harness.syncError(follower) == .rebalanceInProgress)
        #expect(harness.syncError(clients[0].sync(harness)) == .rebalanceInProgress)
    }

    @Test func membersThatNeverSyncAreRemoved() {
        let harness = ShardHarness()
        var clients = joined(harness)
        let leaderSync = clients[0].sync(harness, [:])
        #expect(harness.syncError(leaderSync) == ErrorCode.none)
        // Both heartbeat all the while; the follower never asks for its assignment.
        for _ in 0..<12 {
            harness.advance(by: 5_000)
            _ = clients[0].heartbeat(harness)
            _ = clients[1].heartbeat(harness)
        }
        #expect(harness.describe().groupState == "PreparingRebalance")
        #expect(clients[1].heartbeat(harness) == .unknownMemberId)
        #expect(clients[0].heartbeat(harness) == .rebalanceInProgress)
        let rejoin = clients[0].join(harness)
        clients[0].take(harness.join(rejoin))
        #expect(clients[0].generation == 2)
    }
}
