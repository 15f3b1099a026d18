import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct ClassicLivenessTests {
    @Test func heartbeatsKeepAMemberAlive() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        for _ in 0..<5 {
            harness.advance(by: 9_999)
            #expect(clients[0].heartbeat(harness) == .none)
        }
        harness.advance(by: 10_000)
        #expect(clients[0].heartbeat(harness) == .unknownMemberId)
        #expect(harness.describe().groupState == "Empty")
    }

    @Test func heartbeatChecksGenerationMemberAndGroup() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        var client = clients[0]
        client.generation = 7
        #expect(client.heartbeat(harness) == .illegalGeneration)
        client.memberId = "other"
        #expect(client.heartbeat(harness) == .unknownMemberId)
        client.groupId = "other"
        #expect(client.heartbeat(harness) == .unknownMemberId)
        client.groupId = ""
        #expect(client.heartbeat(harness) == .invalidGroupId)
    }

    @Test func deadMemberMakesTheOthersRebalance() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        clients[0].sessionTimeoutMs = 100_000
        harness.stabilize(&clients)
        harness.advance(by: 10_000)
        #expect(clients[0].heartbeat(harness) == .rebalanceInProgress)
        let rejoin = clients[0].join(harness)
        #expect(harness.join(rejoin)?.generationId == 2)
        #expect(harness.join(rejoin)?.leader == clients[0].memberId)
    }

    @Test func memberThatWaitsInARebalanceDoesNotExpire() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        clients[1].sessionTimeoutMs = 200_000
        harness.stabilize(&clients)
        clients[0].topics = ["t1"]
        let rejoin = clients[0].join(harness)
        harness.advance(by: 30_000)
        #expect(harness.join(rejoin) == nil)
        harness.advance(by: 30_000)
        #expect(harness.joinError(rejoin) == ErrorCode.none)
    }

    @Test func newMemberThatIsNeverAnsweredExpires() {
        var configuration = GroupConfiguration()
        configuration.newMemberJoinTimeoutMs = 20_000
        let harness = ShardHarness(configuration)
        var clients = [ClassicClient("a")]
        clients[0].sessionTimeoutMs = 500_000
        clients[0].rebalanceTimeoutMs = 400_000
        harness.stabilize(&clients)
        var second = ClassicClient("b")
        let join = second.joinWithId(harness)
        harness.advance(by: 20_000)
        #expect(harness.joinError(join) == .unknownMemberId)
    }

    @Test func leavingRemovesAtOnce() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        harness.stabilize(&clients)
        let response = clients[0].leave(harness)
        #expect(response.errorCode == 0 && response.members.map(\.errorCode) == [0])
        #expect(clients[1].heartbeat(harness) == .rebalanceInProgress)
        #expect(clients[0].leave(harness).members.map(\.errorCode) == [ErrorCode.unknownMemberId.rawValue])
        _ = clients[1].leave(harness)
        #expect(harness.describe().groupState == "Empty")
        guard case .groupMetadata(_, let value?)? = harness.records.last else {
            Issue.record("no group record")
            return
        }
        #expect(value.members.isEmpty && value.generation == 2 && value.protocolType == "consumer")
    }

    @Test func oldLeaveRequestsNameOneMember() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        var request = LeaveGroupRequest()
        request.groupId = "group"
        request.memberId = "nobody"
        let unknown = harness.send(.leaveGroup(request), version: 2)
        request.memberId = clients[0].memberId
        let known = harness.send(.leaveGroup(request), version: 2)
        #expect(harness.replies[unknown] == .leaveGroup(.failure(.unknownMemberId)))
        #expect(harness.replies[known] == .leaveGroup(.failure(.none)))
    }

    @Test func leaveWhilePendingOrWaiting() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        harness.stabilize(&clients)
        var third = ClassicClient("c")
        third.memberId = harness.join(third.join(harness))!.memberId
        // The rebalance waits for the id that was handed out…
        let rejoins = clients.map { client in
            var client = client
            client.topics = ["t1"]
            return client.join(harness)
        }
        #expect(harness.join(rejoins[0]) == nil)
        // …until that member says that it does not come.
        #expect(third.leave(harness).members.map(\.errorCode) == [0])
        #expect(harness.join(rejoins[0])?.generationId == 2)
        #expect(harness.join(rejoins[1])?.generationId == 2)
    }
}
