import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct StaticMemberTests {
    private func stable(_ harness: ShardHarness) -> [ClassicClient] {
        var clients = [ClassicClient("a", instanceId: "i-a"), ClassicClient("b", instanceId: "i-b")]
        for index in clients.indices { clients[index].sessionTimeoutMs = 300_000 }
        harness.stabilize(&clients)
        return clients
    }

    @Test func restartWithinTheSessionMovesNothing() {
        let harness = ShardHarness()
        let clients = stable(harness)
        let follower = clients.first { $0.memberId != $0.leader }!
        var restarted = follower
        restarted.memberId = ""
        let token = restarted.join(harness)
        let response = harness.join(token)!
        #expect(response.errorCode == 0 && response.generationId == 1)
        #expect(response.memberId.hasPrefix("\(follower.instanceId!)-"))
        #expect(response.memberId != follower.memberId)
        #expect(response.leader == follower.leader && !response.skipAssignment)
        restarted.take(response)
        let sync = restarted.sync(harness)
        #expect(harness.sync(sync)?.assignment == Array(follower.clientId.utf8))
        // The other process with the same instance id is fenced, whatever it asks.
        #expect(follower.heartbeat(harness) == .fencedInstanceId)
        #expect(harness.syncError(follower.sync(harness)) == .fencedInstanceId)
        #expect(harness.joinError(follower.join(harness)) == .fencedInstanceId)
        #expect(follower.leave(harness).members.map(\.errorCode) == [ErrorCode.fencedInstanceId.rawValue])
        #expect(
            harness.commit(
                offset: 1, memberId: follower.memberId, generation: 1, instanceId: follower.instanceId)
                == .fencedInstanceId)
        #expect(restarted.heartbeat(harness) == .none)
    }

    @Test func restartedLeaderSkipsTheAssignment() {
        let harness = ShardHarness()
        var leader = stable(harness).first { $0.memberId == $0.leader }!
        leader.memberId = ""
        let response = harness.join(leader.join(harness))!
        #expect(response.skipAssignment)
        #expect(response.leader == response.memberId)
        #expect(response.members.count == 2)
    }

    @Test func restartedLeaderOfAnOldVersionDoesNotKnowThatItLeads() {
        let harness = ShardHarness()
        let leader = stable(harness).first { $0.memberId == $0.leader }!
        var restarted = leader
        restarted.memberId = ""
        restarted.version = 8
        let response = harness.join(restarted.join(harness))!
        #expect(!response.skipAssignment)
        #expect(response.leader == leader.memberId && response.members.isEmpty)
    }

    @Test func replacementThatChangesTheProtocolRebalances() {
        let harness = ShardHarness()
        var configuration = ClassicClient("a", instanceId: "i-a")
        configuration.sessionTimeoutMs = 300_000
        configuration.protocols = ["range", "sticky"]
        var clients = [configuration]
        harness.stabilize(&clients)
        var restarted = clients[0]
        restarted.memberId = ""
        restarted.protocols = ["sticky"]
        let response = harness.join(restarted.join(harness))
        #expect(response?.generationId == 2)
        #expect(response?.protocolName == "sticky")
    }

    @Test func replacementIsInTheLog() {
        let harness = ShardHarness()
        var restarted = stable(harness)[0]
        restarted.memberId = ""
        restarted.take(harness.join(restarted.join(harness)))
        harness.restart()
        #expect(restarted.heartbeat(harness) == .none)
    }

    @Test func toolRemovesAMemberByItsInstanceId() {
        let harness = ShardHarness()
        let clients = stable(harness)
        var tool = clients[0]
        tool.memberId = ""
        #expect(tool.leave(harness).members.map(\.errorCode) == [0])
        #expect(clients[1].heartbeat(harness) == .rebalanceInProgress)
        #expect(tool.leave(harness).members.map(\.errorCode) == [ErrorCode.unknownMemberId.rawValue])
    }

    @Test func staticMemberThatDoesNotRejoinStaysUntilItsSessionEnds() {
        let harness = ShardHarness()
        let clients = stable(harness)
        var present = clients.first { $0.memberId == $0.leader }!
        let absent = clients.first { $0.memberId != $0.leader }!
        let token = present.join(harness)
        harness.advance(by: 60_000)
        let response = harness.join(token)!
        #expect(response.members.count == 2)
        present.take(response)
        _ = present.sync(harness, [:])
        #expect(absent.heartbeat(harness) == .illegalGeneration)
    }

    @Test func groupOfAbsentMembersWithATinyTimeoutDoesNotSpin() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a", instanceId: "i-a"), ClassicClient("b", instanceId: "i-b")]
        for index in clients.indices { clients[index].rebalanceTimeoutMs = 1 }
        harness.stabilize(&clients)
        for client in clients { #expect(harness.syncError(client.sync(harness)) == ErrorCode.none) }
        _ = clients[0].leave(harness)
        harness.advance(by: 4_500)
        #expect(harness.describe().groupState == "PreparingRebalance")
        #expect(harness.shard.nextDeadline! - harness.now >= 500)
        harness.advance(by: 10_000)
        #expect(harness.describe().groupState == "Empty")
    }

    @Test func waitingPredecessorIsFenced() {
        let harness = ShardHarness()
        let first = ClassicClient("a", instanceId: "i-a")
        let firstJoin = first.join(harness)
        let secondJoin = first.join(harness)
        #expect(harness.joinError(firstJoin) == .fencedInstanceId)
        harness.advance(by: 3_000)
        #expect(harness.joinError(secondJoin) == ErrorCode.none)
    }
}
