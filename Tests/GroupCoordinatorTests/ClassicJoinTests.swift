import CoordinatorCore
import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct ClassicJoinTests {
    @Test func dynamicMemberFirstGetsAnId() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        let first = client.join(harness)
        #expect(harness.joinError(first) == .memberIdRequired)
        client.memberId = harness.join(first)!.memberId
        #expect(client.memberId.hasPrefix("a-"))
        #expect(client.memberId.utf8.count == "a-".utf8.count + 36)
        let second = client.join(harness)
        #expect(harness.join(second) == nil)
        harness.advance(by: 3_000)
        let response = harness.join(second)!
        #expect(response.errorCode == 0)
        #expect(response.generationId == 1)
        #expect(response.leader == client.memberId)
        #expect(response.protocolName == "range")
        #expect(response.protocolType == "consumer")
        #expect(response.members.map(\.memberId) == [client.memberId])
    }

    @Test(arguments: [Int16(0), 3]) func oldVersionsJoinAtOnce(version: Int16) {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        client.version = version
        let token = client.join(harness)
        harness.advance(by: 3_000)
        #expect(harness.joinError(token) == ErrorCode.none)
    }

    @Test func unusedMemberIdIsForgotten() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        client.memberId = harness.join(client.join(harness))!.memberId
        harness.advance(by: 10_000)
        #expect(harness.joinError(client.join(harness)) == .unknownMemberId)
    }

    @Test func initialDelayExtendsWhileMembersArrive() {
        let harness = ShardHarness()
        var first = ClassicClient("a")
        let joinFirst = first.joinWithId(harness)
        harness.advance(by: 2_000)
        var second = ClassicClient("b")
        let joinSecond = second.joinWithId(harness)
        harness.advance(by: 1_000)
        #expect(harness.join(joinFirst) == nil)
        harness.advance(by: 3_000)
        #expect(harness.join(joinFirst)?.generationId == 1)
        #expect(harness.join(joinSecond)?.generationId == 1)
        #expect(harness.join(joinSecond)?.members == [])
        #expect(harness.join(joinFirst)?.members.count == 2)
    }

    @Test func initialDelayIsBoundedByTheRebalanceTimeout() {
        let harness = ShardHarness()
        var clients: [ClassicClient] = []
        var tokens: [RequestToken] = []
        let start = harness.now
        for index in 0..<10 {
            var client = ClassicClient("c\(index)")
            client.rebalanceTimeoutMs = 7_000
            tokens.append(client.joinWithId(harness))
            clients.append(client)
            if harness.join(tokens[0]) != nil { break }
            harness.advance(by: 1_500)
        }
        #expect(harness.join(tokens[0]) != nil)
        #expect(harness.now - start <= 9_000)
    }

    @Test func protocolIsChosenByVotes() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b"), ClassicClient("c")]
        clients[0].protocols = ["sticky", "range"]
        clients[1].protocols = ["range", "sticky", "other"]
        clients[2].protocols = ["range", "sticky"]
        harness.stabilize(&clients)
        #expect(harness.describe().protocolData == "range")
        #expect(harness.describe().groupState == "Stable")
    }

    @Test func foreignProtocolsAreRefused() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        var other = ClassicClient("b")
        other.protocols = ["sticky"]
        #expect(harness.joinError(other.join(harness)) == .inconsistentGroupProtocol)
        other.protocols = ["range"]
        other.protocolType = "connect"
        #expect(harness.joinError(other.join(harness)) == .inconsistentGroupProtocol)
        var none = ClassicClient("c")
        none.groupId = "new"
        none.protocols = []
        #expect(harness.joinError(none.join(harness)) == .inconsistentGroupProtocol)
        #expect(harness.describe("new").groupState == "Dead")
    }

    @Test func sessionTimeoutHasBounds() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        client.sessionTimeoutMs = 5_999
        #expect(harness.joinError(client.join(harness)) == .invalidSessionTimeout)
        client.sessionTimeoutMs = 1_800_001
        #expect(harness.joinError(client.join(harness)) == .invalidSessionTimeout)
        client.groupId = ""
        #expect(harness.joinError(client.join(harness)) == .invalidGroupId)
    }

    @Test func groupHasAMaximumSize() {
        var configuration = GroupConfiguration()
        configuration.groupMaxSize = 2
        let harness = ShardHarness(configuration)
        var clients = [ClassicClient("a"), ClassicClient("b")]
        harness.stabilize(&clients)
        #expect(harness.joinError(ClassicClient("c").join(harness)) == .groupMaxSizeReached)
        #expect(clients[0].heartbeat(harness) == .none)
        // A member of the full group may still join again.
        #expect(harness.joinError(clients[0].join(harness)) != .groupMaxSizeReached)
    }

    @Test func leaderThatJoinsAgainRebalancesAndFollowerDoesNot() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        harness.stabilize(&clients)
        let leader = clients.firstIndex { $0.memberId == $0.leader }!
        let follower = 1 - leader
        let same = harness.join(clients[follower].join(harness))!
        #expect(same.errorCode == 0 && same.generationId == 1 && same.members.isEmpty)
        let rejoin = clients[leader].join(harness)
        #expect(harness.join(rejoin) == nil)
        #expect(clients[follower].heartbeat(harness) == .rebalanceInProgress)
        let followerRejoin = clients[follower].join(harness)
        #expect(harness.join(rejoin)?.generationId == 2)
        #expect(harness.join(followerRejoin)?.generationId == 2)
    }

    @Test func followerWithNewMetadataRebalances() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        harness.stabilize(&clients)
        let follower = clients.firstIndex { $0.memberId != $0.leader }!
        clients[follower].topics = ["t0", "t1"]
        #expect(harness.join(clients[follower].join(harness)) == nil)
        #expect(harness.describe().groupState == "PreparingRebalance")
    }

    @Test func lostJoinReplyIsRepeatedInTheSameGeneration() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        let token = client.joinWithId(harness)
        harness.advance(by: 3_000)
        client.take(harness.join(token))
        let again = harness.join(client.join(harness))
        #expect(again == harness.join(token))
        #expect(harness.describe().groupState == "CompletingRebalance")
    }

    @Test func resentJoinAnswersTheFirst() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        let first = client.joinWithId(harness)
        let second = client.join(harness)
        #expect(harness.joinError(first) == .rebalanceInProgress)
        harness.advance(by: 3_000)
        #expect(harness.joinError(second) == ErrorCode.none)
    }

    @Test func membersThatDoNotRejoinAreDropped() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        for index in clients.indices { clients[index].sessionTimeoutMs = 300_000 }
        harness.stabilize(&clients)
        let leader = clients.firstIndex { $0.memberId == $0.leader }!
        let rejoin = clients[leader].join(harness)
        harness.advance(by: 59_999)
        #expect(harness.join(rejoin) == nil)
        harness.advance(by: 1)
        #expect(harness.join(rejoin)?.members.count == 1)
        #expect(clients[1 - leader].heartbeat(harness) == .unknownMemberId)
    }

    @Test func leaderIsReplacedWhenItDoesNotRejoin() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a"), ClassicClient("b")]
        for index in clients.indices { clients[index].sessionTimeoutMs = 300_000 }
        harness.stabilize(&clients)
        let follower = clients.firstIndex { $0.memberId != $0.leader }!
        clients[follower].topics = ["t1"]
        let rejoin = clients[follower].join(harness)
        harness.advance(by: 60_000)
        #expect(harness.join(rejoin)?.leader == clients[follower].memberId)
    }

    @Test func identifiersHaveLimits() {
        let harness = ShardHarness()
        let long = String(repeating: "x", count: 20_000)
        var client = ClassicClient(long)
        let token = client.joinWithId(harness)
        harness.advance(by: 3_000)
        #expect(harness.joinError(token) == ErrorCode.none)
        #expect(client.memberId.utf8.count == 1_024 + 37)
        client.protocols = [long]
        #expect(harness.joinError(client.join(harness)) == .invalidRequest)
        client.groupId = long
        #expect(harness.joinError(client.join(harness)) == .invalidGroupId)
        #expect(harness.commit(long, offset: 1) == .invalidGroupId)
    }

    @Test func memberOfAForgottenGroupIsUnknown() {
        let harness = ShardHarness()
        var client = ClassicClient("a")
        client.memberId = "a-from-before"
        #expect(harness.joinError(client.join(harness)) == .unknownMemberId)
    }
}
