import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct ConsumerGroupTests {
    private func settled(
        _ count: Int, topics: TopicsImage = .numbered(6), _ configuration: GroupConfiguration = GroupConfiguration()
    ) -> (ShardHarness, [ConsumerClient]) {
        let harness = ShardHarness(configuration, topics: topics)
        var clients = (0..<count).map { ConsumerClient("m\($0)") }
        harness.settle(&clients)
        return (harness, clients)
    }

    // MARK: Joining

    @Test func firstMemberGetsEverything() {
        let harness = ShardHarness(topics: .numbered(3))
        var client = ConsumerClient("m")
        let response = client.heartbeat(harness)
        #expect(response.memberEpoch == 1 && response.memberId == "m" && response.heartbeatIntervalMs == 5_000)
        #expect(client.ownedNames == ["t0-0", "t0-1", "t0-2"])
        // Nothing new, nothing said.
        #expect(client.heartbeat(harness).assignment == nil)
        #expect(client.heartbeat(harness, full: true).assignment != nil)
        #expect(harness.describeConsumer().groupState == "Stable")
    }

    @Test func serverMakesTheMemberIdInVersionZero() {
        let harness = ShardHarness(topics: .numbered(1))
        var client = ConsumerClient("")
        client.version = 0
        let response = client.heartbeat(harness)
        #expect(response.errorCode == 0)
        #expect(response.memberId?.utf8.count == 22)
        var other = ConsumerClient("")
        #expect(other.heartbeat(harness).errorCode == ErrorCode.invalidRequest.rawValue)
    }

    @Test func partitionsMoveOnlyWhenTheyAreGivenUp() {
        let harness = ShardHarness(topics: .numbered(4))
        var a = ConsumerClient("a")
        var b = ConsumerClient("b")
        a.heartbeat(harness)
        b.heartbeat(harness)
        // The newcomer reaches the new epoch, but must wait for its partitions.
        #expect(b.epoch == 2 && b.owned.isEmpty)
        #expect(harness.describeConsumer().groupState == "Reconciling")
        // The owner is told to give two up and keeps its epoch meanwhile.
        a.heartbeat(harness)
        #expect(a.epoch == 1 && a.owned.count == 2)
        #expect(b.heartbeat(harness).assignment == nil)
        // Its next heartbeat no longer lists them; now it is done, and the newcomer gets them.
        a.heartbeat(harness)
        #expect(a.epoch == 2)
        b.heartbeat(harness)
        #expect(b.owned.count == 2 && a.owned.intersection(b.owned).isEmpty)
        #expect(harness.describeConsumer().groupState == "Stable")
    }

    @Test func invalidRequests() {
        let harness = ShardHarness(topics: .numbered(1))
        func error(_ change: (inout ConsumerGroupHeartbeatRequest) -> Void) -> ErrorCode {
            var request = ConsumerClient("m").request(full: true)
            change(&request)
            return ErrorCode(rawValue: harness.consumerHeartbeat(request).errorCode)
        }
        #expect(error { $0.groupId = "" } == .invalidRequest)
        #expect(error { $0.memberId = "" } == .invalidRequest)
        #expect(error { $0.instanceId = "" } == .invalidRequest)
        #expect(error { $0.rackId = "" } == .invalidRequest)
        #expect(error { $0.rebalanceTimeoutMs = -1 } == .invalidRequest)
        #expect(error { $0.subscribedTopicNames = nil } == .invalidRequest)
        #expect(error { $0.topicPartitions = nil } == .invalidRequest)
        #expect(error { $0.memberEpoch = -2 } == .invalidRequest)
        #expect(error { $0.memberEpoch = -3 } == .invalidRequest)
        #expect(error { $0.serverAssignor = "sticky" } == .unsupportedAssignor)
        #expect(error { $0.memberEpoch = 1 } == .groupIdNotFound)
        #expect(error { $0.memberEpoch = -1 } == .groupIdNotFound)
        #expect(harness.log.isEmpty)
    }

    @Test func groupHasAMaximumSize() {
        var configuration = GroupConfiguration()
        configuration.groupConsumerMaxSize = 2
        var (harness, clients) = settled(2, configuration)
        var third = ConsumerClient("m2")
        third.heartbeat(harness)
        #expect(third.lastError == .groupMaxSizeReached)
        clients[0].heartbeat(harness)
        #expect(clients[0].lastError == .none)
    }

    // MARK: Epochs

    @Test func staleMembersAreFenced() {
        var (harness, clients) = settled(2)
        #expect(clients[0].epoch == 2)
        clients[0].epoch = 3
        clients[0].heartbeat(harness)
        #expect(clients[0].lastError == .fencedMemberEpoch)
        // It joins again from scratch and gets its partitions back.
        harness.settle(&clients)
        #expect(clients[0].owned.count == 3 && clients[1].owned.count == 3)
    }

    @Test func memberWhoseReplyWasLostGoesOn() {
        var (harness, clients) = settled(1)
        var late = clients[0]
        var second = ConsumerClient("m1")
        second.heartbeat(harness)
        clients[0].heartbeat(harness)
        clients[0].heartbeat(harness)
        #expect(clients[0].epoch == 2)
        // The reply with epoch 2 did not arrive: it comes with epoch 1 and what it was told to keep.
        late.owned = clients[0].owned
        #expect(late.epoch == 1)
        late.heartbeat(harness)
        #expect(late.epoch == 2 && late.lastError == .none)
        // With a partition that is not its own any more it is fenced.
        late.epoch = 1
        late.owned = late.owned.union(TopicPartitionSet([(Uuid(high: 0, low: 1), [0, 1, 2, 3, 4, 5])]))
        late.heartbeat(harness)
        #expect(late.lastError == .fencedMemberEpoch)
    }

    @Test func unknownMembersAreTold() {
        var (harness, clients) = settled(1)
        clients[0].memberId = "other"
        clients[0].heartbeat(harness)
        #expect(clients[0].lastError == .unknownMemberId)
        var gone = ConsumerClient("gone")
        #expect(gone.leave(harness).errorCode == ErrorCode.unknownMemberId.rawValue)
    }

    // MARK: Leaving and silence

    @Test func partitionsOfALeaverGoToTheOthers() {
        var (harness, clients) = settled(3)
        #expect(clients.map(\.owned.count) == [2, 2, 2])
        var leaver = clients.removeLast()
        #expect(leaver.leave(harness).memberEpoch == -1)
        harness.settle(&clients)
        #expect(clients.map(\.owned.count) == [3, 3])
    }

    @Test func silentMembersAreFencedAfterTheSession() {
        var (harness, clients) = settled(2)
        harness.advance(by: 44_999)
        clients[0].heartbeat(harness)
        harness.advance(by: 1)
        #expect(harness.describeConsumer().members.map(\.memberId) == ["m0"])
        clients.removeLast()
        harness.settle(&clients)
        #expect(clients[0].owned.count == 6)
    }

    @Test func membersThatDoNotRevokeInTimeAreFenced() {
        var (harness, clients) = settled(1)
        let holder = clients[0]
        var second = ConsumerClient("m1")
        second.heartbeat(harness)
        func hold() -> ErrorCode {
            var stubborn = holder
            stubborn.heartbeat(harness)
            return stubborn.lastError
        }
        for _ in 0..<3 {
            #expect(hold() == .none)
            harness.advance(by: 9_000)
        }
        harness.advance(by: 3_000)
        #expect(hold() == .unknownMemberId)
        clients = [second]
        harness.settle(&clients)
        #expect(clients[0].owned.count == 6)
    }

    // MARK: Static members

    @Test func staticMemberComesBackToItsPartitions() {
        let harness = ShardHarness(topics: .numbered(4))
        var clients = [ConsumerClient("a", instanceId: "i-a"), ConsumerClient("b", instanceId: "i-b")]
        harness.settle(&clients)
        let before = clients[0].owned
        var successor = ConsumerClient("a2", instanceId: "i-a")
        successor.heartbeat(harness)
        #expect(successor.lastError == .unreleasedInstanceId)
        #expect(clients[0].leave(harness, epoch: MemberEpoch.leaveStatic).memberEpoch == -2)
        clients[1].heartbeat(harness)
        let epoch = clients[1].epoch
        #expect(clients[1].owned.count == 2)
        successor.heartbeat(harness)
        #expect(successor.lastError == .none && successor.owned == before)
        // Nobody else notices.
        #expect(clients[1].heartbeat(harness).assignment == nil)
        #expect(clients[1].epoch == epoch)
        clients[0].epoch = epoch
        clients[0].heartbeat(harness)
        #expect(clients[0].lastError == .fencedInstanceId)
        harness.restart()
        successor.heartbeat(harness)
        #expect(successor.lastError == .none)
    }

    @Test func staticMemberThatStaysAwayLosesItsPartitions() {
        let harness = ShardHarness(topics: .numbered(4))
        var clients = [ConsumerClient("a", instanceId: "i-a"), ConsumerClient("b", instanceId: "i-b")]
        harness.settle(&clients)
        clients[0].leave(harness, epoch: MemberEpoch.leaveStatic)
        var rest = [clients[1]]
        harness.advance(by: 40_000)
        harness.settle(&rest)
        #expect(rest[0].owned.count == 2)
        harness.advance(by: 5_000)
        harness.settle(&rest)
        #expect(rest[0].owned.count == 4)
    }

    @Test func staticMemberLeavesForGood() {
        let harness = ShardHarness(topics: .numbered(4))
        var clients = [ConsumerClient("a", instanceId: "i-a"), ConsumerClient("b", instanceId: "i-b")]
        harness.settle(&clients)
        var wrong = clients[0]
        wrong.memberId = "other"
        #expect(wrong.leave(harness).errorCode == ErrorCode.fencedInstanceId.rawValue)
        #expect(clients[0].leave(harness).errorCode == 0)
        var rest = [clients[1]]
        harness.settle(&rest)
        #expect(rest[0].owned.count == 4)
    }

    // MARK: Subscriptions and topics

    @Test func changedSubscriptionMovesPartitions() {
        var (harness, clients) = settled(2, topics: .numbered(4, 2))
        clients[0].topics = ["t1"]
        clients[0].heartbeat(harness, full: true)
        harness.settle(&clients)
        #expect(clients[0].ownedNames == ["t1-0", "t1-1"])
        #expect(clients[1].ownedNames == ["t0-0", "t0-1", "t0-2", "t0-3"])
    }

    @Test func newPartitionsAndTopicsAreTakenUp() {
        var (harness, clients) = settled(2, topics: .numbered(2))
        harness.setTopics(.numbered(4))
        harness.settle(&clients)
        #expect(clients.map(\.owned.count) == [2, 2])
        clients[0].topics = ["t0", "t1"]
        clients[0].heartbeat(harness, full: true)
        harness.settle(&clients)
        #expect(clients.map(\.owned.count) == [2, 2])
        harness.setTopics(.numbered(4, 2))
        harness.settle(&clients)
        #expect(clients.map(\.owned.count) == [3, 3])
        harness.setTopics(.numbered(2))
        harness.settle(&clients)
        #expect(clients.map(\.owned.count) == [1, 1])
    }

    @Test func patternsFollowTheTopics() {
        let harness = ShardHarness(topics: .numbered(2, 2))
        var client = ConsumerClient("m")
        client.topics = nil
        client.regex = "t*"
        client.heartbeat(harness)
        #expect(client.ownedNames == ["t0-0", "t0-1", "t1-0", "t1-1"])
        harness.setTopics(.numbered(2, 2, 1))
        var clients = [client]
        harness.settle(&clients)
        #expect(clients[0].owned.count == 5)
        harness.restart()
        harness.setTopics(.numbered(1, 2, 1))
        harness.settle(&clients)
        #expect(clients[0].owned.count == 4)
        clients[0].regex = "["
        clients[0].heartbeat(harness, full: true)
        #expect(clients[0].lastError == .invalidRegularExpression)
        clients[0].regex = ""
        clients[0].topics = ["t1"]
        clients[0].heartbeat(harness, full: true)
        harness.settle(&clients)
        #expect(clients[0].ownedNames == ["t1-0", "t1-1"])
    }

    @Test func membersChooseTheAssignor() {
        let harness = ShardHarness(topics: .numbered(3, 3))
        var clients = [ConsumerClient("a"), ConsumerClient("b")]
        for index in clients.indices {
            clients[index].topics = ["t0", "t1"]
            clients[index].assignor = "range"
        }
        harness.settle(&clients)
        #expect(clients[0].ownedNames == ["t0-0", "t0-1", "t1-0", "t1-1"])
        #expect(clients[1].ownedNames == ["t0-2", "t1-2"])
        #expect(harness.describeConsumer().assignorName == "range")
    }

    // MARK: The log

    @Test func loadedGroupGoesOn() {
        var (harness, clients) = settled(3)
        let before = harness.describeConsumer()
        harness.restart()
        #expect(harness.describeConsumer() == before)
        for index in clients.indices { clients[index].heartbeat(harness) }
        #expect(clients.allSatisfy { $0.lastError == .none })
        #expect(harness.describeConsumer() == before)
    }

    @Test func loadingInTheMiddleOfARevocationWaitsForIt() {
        var (harness, clients) = settled(1)
        var second = ConsumerClient("m1")
        second.heartbeat(harness)
        clients[0].heartbeat(harness)
        harness.restart()
        second.heartbeat(harness)
        #expect(second.owned.isEmpty)
        var both = [clients[0], second]
        harness.settle(&both)
        #expect(both.map(\.owned.count) == [3, 3])
    }

    @Test func memberInAnUnknownStateStartsFromScratch() {
        var (harness, clients) = settled(1)
        var value = ConsumerGroupCurrentMemberAssignmentValue()
        value.memberEpoch = 1
        value.state = 99
        var key = ConsumerGroupCurrentMemberAssignmentKey()
        key.groupId = "group"
        key.memberId = "m0"
        harness.log.append(GroupRecord.consumerGroupCurrentMemberAssignment(key, value).encoded())
        harness.restart()
        clients[0].heartbeat(harness)
        #expect(clients[0].lastError == .fencedMemberEpoch)
        harness.settle(&clients)
        #expect(clients[0].owned.count == 6)
    }
}
