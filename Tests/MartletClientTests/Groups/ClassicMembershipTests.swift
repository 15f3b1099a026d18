import KafkaProtocol
import Testing

@testable import MartletClient

@Suite struct ClassicMembershipTests {
    private typealias Harness = MachineHarness<ClassicMembership>

    private func harness(
        _ strategies: [PartitionAssignmentStrategy] = [.range], instanceId: String? = nil
    ) -> Harness {
        var configuration = GroupMembershipConfiguration(groupId: "g")
        configuration.strategies = strategies
        configuration.groupInstanceId = instanceId
        return Harness(ClassicMembership(configuration, backoff: Backoff(), seed: 1))
    }

    private func joined(
        _ generation: Int32, leader: String = "other", strategy: String = "range",
        _ members: [(String, MemberSubscription)] = [], skipsAssignment: Bool = false
    ) -> Result<GroupReply, ClientError> {
        var reply = JoinGroupResponse()
        reply.generationId = generation
        reply.protocolType = "consumer"
        reply.protocolName = strategy
        reply.leader = leader
        reply.memberId = "me"
        reply.skipAssignment = skipsAssignment
        reply.members = members.map { id, subscription in
            var member = JoinGroupResponse.JoinGroupResponseMember()
            member.memberId = id
            member.metadata = subscription.encoded
            return member
        }
        return .success(.join(reply))
    }

    private func synced(_ partitions: TopicPartition...) -> Result<GroupReply, ClientError> {
        var reply = SyncGroupResponse()
        reply.assignment = ConsumerProtocol.encodeAssignment(partitions)
        return .success(.sync(reply))
    }

    private func refusedJoin(_ code: ErrorCode, memberId: String = "") -> Result<GroupReply, ClientError> {
        var reply = JoinGroupResponse()
        reply.errorCode = code.rawValue
        reply.memberId = memberId
        return .success(.join(reply))
    }

    private func refusedSync(_ code: ErrorCode) -> Result<GroupReply, ClientError> {
        var reply = SyncGroupResponse()
        reply.errorCode = code.rawValue
        return .success(.sync(reply))
    }

    private func beaten(_ code: ErrorCode = .none) -> Result<GroupReply, ClientError> {
        var reply = HeartbeatResponse()
        reply.errorCode = code.rawValue
        return .success(.heartbeat(reply))
    }

    private let t0 = TopicPartition("t", 0)
    private let t1 = TopicPartition("t", 1)

    /// A member that has partitions 0 and 1 of "t" in generation 1.
    private func settled(
        _ strategies: [PartitionAssignmentStrategy] = [.range], instanceId: String? = nil
    ) -> Harness {
        var harness = harness(strategies, instanceId: instanceId)
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(joined(1, strategy: strategies[0].name))
        harness.reply(synced(t0, t1))
        harness.delegateReturned()
        _ = harness.news()
        return harness
    }

    // MARK: Joining

    @Test func joinsAndBeats() {
        var harness = harness()
        #expect(harness.machine.identity == MemberIdentity())
        harness.event(.subscribed(.topics(["t"])))
        #expect(harness.news() == ["send join ''"])
        harness.reply(refusedJoin(.memberIdRequired, memberId: "me"))
        #expect(harness.news() == ["send join 'me'"])
        harness.reply(joined(1))
        #expect(harness.news() == ["send sync 1"])
        harness.reply(synced(t1, t0))
        #expect(harness.news() == ["assign [t-0, t-1] of [t-0, t-1]"])
        #expect(harness.machine.identity == MemberIdentity(memberId: "me", epoch: 1))
        // The delegate takes its time, and the session goes on.
        harness.pass(.seconds(3))
        #expect(harness.news() == ["send heartbeat 1"])
        harness.pass(.seconds(30))
        #expect(harness.news() == [])
        harness.reply(beaten())
        harness.pass(.seconds(3))
        #expect(harness.news() == ["send heartbeat 1"])
    }

    @Test func theLeaderDivides() throws {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(
            joined(
                4, leader: "me",
                [("me", MemberSubscription(topics: ["t"])), ("other", MemberSubscription(topics: ["t", "u"]))]))
        #expect(harness.questions.last?.question.names == ["t", "u"])
        harness.answer(["t": 3, "u": 1])
        guard case .sync(let request)? = harness.requests.last?.request else {
            Issue.record("no SyncGroup")
            return
        }
        let assignment = try Dictionary(
            uniqueKeysWithValues: request.assignments.map {
                ($0.memberId, try ConsumerProtocol.assignment($0.assignment).map(\.description))
            })
        #expect(assignment == ["me": ["t-0", "t-1"], "other": ["t-2", "u-0"]])
        #expect(request.protocolName == "range" && request.protocolType == "consumer")
    }

    @Test func theLeaderWatchesThePartitions() {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(joined(1, leader: "me", [("me", MemberSubscription(topics: ["t"]))]))
        harness.answer(["t": 1])
        harness.reply(synced(t0))
        harness.delegateReturned()
        for _ in 0..<100 {
            harness.pass(.seconds(3))
            if case .heartbeat? = harness.requests.last?.request { harness.reply(beaten()) }
        }
        harness.pass(.seconds(1))
        #expect(harness.questions.count == 2)
        _ = harness.news()
        harness.answer(["t": 1])
        #expect(harness.news() == [])
        for _ in 0..<101 {
            harness.pass(.seconds(3))
            if case .heartbeat? = harness.requests.last?.request { harness.reply(beaten()) }
        }
        _ = harness.news()
        harness.answer(["t": 2])
        #expect(harness.news() == ["revoke [t-0]"])
    }

    @Test func aStaticLeaderMayLeaveTheDivisionAsItIs() {
        var harness = harness(instanceId: "i")
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(
            joined(2, leader: "me", [("me", MemberSubscription(topics: ["t"]))], skipsAssignment: true))
        harness.answer(["t": 1])
        guard case .sync(let request)? = harness.requests.last?.request else {
            Issue.record("no SyncGroup")
            return
        }
        #expect(request.assignments.isEmpty && request.groupInstanceId == "i")
    }

    @Test func patternsAreResolvedFirst() throws {
        var harness = harness()
        harness.event(.subscribed(.pattern("t.*")))
        #expect(harness.news() == ["ask"])
        harness.answer(["t": 1, "x": 1], matched: ["t"])
        #expect(harness.news() == ["send join ''"])
        harness.reply(joined(1))
        harness.reply(synced(t0))
        harness.delegateReturned()
        harness.pass(.seconds(3))
        harness.reply(beaten())
        for _ in 0..<100 {
            harness.pass(.seconds(3))
            if case .heartbeat? = harness.requests.last?.request { harness.reply(beaten()) }
        }
        _ = harness.news()
        harness.answer(["t": 1, "t2": 1], matched: ["t", "t2"])
        #expect(harness.news() == ["revoke [t-0]"])
        harness.delegateReturned()
        guard case .join(let request)? = harness.requests.last?.request else {
            Issue.record("no JoinGroup")
            return
        }
        #expect(try MemberSubscription.decode(request.protocols[0].metadata).topics == ["t", "t2"])
    }

    // MARK: Rebalances

    @Test func eagerMembersGiveEverythingUp() {
        var harness = settled()
        harness.pass(.seconds(3))
        harness.reply(beaten(.rebalanceInProgress))
        #expect(harness.news() == ["send heartbeat 1", "revoke [t-0, t-1]"])
        // Commits are still those of generation 1.
        #expect(harness.machine.identity.epoch == 1)
        harness.pass(.seconds(3))
        #expect(harness.news() == ["send heartbeat 1"])
        harness.reply(beaten(.rebalanceInProgress))
        harness.delegateReturned()
        #expect(harness.news() == ["send join 'me'"])
        harness.pass(.seconds(100))
        #expect(harness.news() == [])
        harness.reply(joined(2))
        harness.reply(synced(t1))
        #expect(harness.news() == ["send sync 2", "assign [t-1] of [t-1]"])
    }

    @Test func cooperativeMembersKeepWhatStays() throws {
        var harness = settled([.cooperativeSticky])
        harness.pass(.seconds(3))
        harness.reply(beaten(.rebalanceInProgress))
        #expect(harness.news() == ["send heartbeat 1", "send join 'me'"])
        guard case .join(let request)? = harness.requests.last?.request else { return }
        let said = try MemberSubscription.decode(request.protocols[0].metadata)
        #expect(said.owned == [t0, t1] && said.generation == 1 && said.userData == [0, 0, 0, 1])
        harness.reply(joined(2, strategy: "cooperative-sticky"))
        harness.reply(synced(t0))
        #expect(harness.news() == ["send sync 2", "revoke [t-1]"])
        harness.delegateReturned()
        #expect(harness.news() == ["assign [] of [t-0]"])
        harness.delegateReturned()
        // So that the other one gets what it gave up.
        #expect(harness.news() == ["send join 'me'"])
        harness.reply(joined(3, strategy: "cooperative-sticky"))
        harness.reply(synced(t0))
        harness.delegateReturned()
        #expect(harness.news() == ["send sync 3", "assign [] of [t-0]"])
    }

    @Test func oneEagerStrategyMakesTheMemberEager() {
        var harness = settled([.range, .cooperativeSticky])
        harness.event(.rebalanceWanted)
        #expect(harness.news() == ["revoke [t-0, t-1]"])
    }

    @Test func stickyRemembersWhatItGaveUp() throws {
        var harness = settled([.sticky])
        harness.event(.rebalanceWanted)
        harness.delegateReturned()
        guard case .join(let request)? = harness.requests.last?.request else {
            Issue.record("no JoinGroup")
            return
        }
        let said = try MemberSubscription.decode(request.protocols[0].metadata)
        #expect(said.owned.isEmpty)
        #expect(StickyUserData.decode(said.userData) == StickyUserData(partitions: [t0, t1], generation: 1))
    }

    @Test func aNewSubscriptionJoinsAgain() {
        var harness = settled([.cooperativeSticky])
        harness.event(.subscribed(.topics(["u"])))
        // What it does not read any more need not wait for the others.
        #expect(harness.news() == ["revoke [t-0, t-1]"])
        harness.delegateReturned()
        #expect(harness.news() == ["send join 'me'"])
        harness.reply(joined(2, strategy: "cooperative-sticky"))
        harness.event(.subscribed(.topics(["u", "v"])))
        harness.reply(synced(TopicPartition("u", 0), t0))
        #expect(harness.news() == ["send sync 2", "assign [u-0] of [u-0]"])
        harness.delegateReturned()
        #expect(harness.news() == ["send join 'me'"])
    }

    @Test func anInterruptedSyncJoinsAgain() {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(joined(1))
        harness.reply(refusedSync(.rebalanceInProgress))
        #expect(harness.news() == ["send join ''", "send sync 1", "send join 'me'"])
    }

    // MARK: Losses

    @Test(arguments: [ErrorCode.unknownMemberId, .illegalGeneration]) func aForgottenMemberHasLost(code: ErrorCode) {
        var harness = settled([.cooperativeSticky])
        harness.pass(.seconds(3))
        _ = harness.news()
        harness.reply(beaten(code))
        #expect(harness.news() == ["lose [t-0, t-1]"])
        #expect(harness.machine.identity.epoch == -1)
        harness.delegateReturned()
        #expect(harness.news() == ["send join '\(code == .unknownMemberId ? "" : "me")'"])
    }

    @Test func aLossDuringARevocationWaitsForIt() {
        var harness = settled([.cooperativeSticky])
        harness.event(.rebalanceWanted)
        harness.reply(joined(2, strategy: "cooperative-sticky"))
        harness.reply(synced(t0))
        harness.pass(.seconds(3))
        #expect(harness.news() == ["send join 'me'", "send sync 2", "revoke [t-1]", "send heartbeat 2"])
        harness.reply(beaten(.unknownMemberId))
        #expect(harness.news() == [])
        harness.delegateReturned()
        #expect(harness.news() == ["lose [t-0]"])
        harness.delegateReturned()
        #expect(harness.news() == ["send join ''"])
    }

    @Test func aRefusedCommitIsHeard() {
        var harness = settled()
        harness.event(.commitRefused(.unknownMemberId, MemberIdentity(memberId: "me", epoch: 0)))
        #expect(harness.news() == [])
        harness.event(.commitRefused(.unknownMemberId, harness.machine.identity))
        #expect(harness.news() == ["lose [t-0, t-1]"])
    }

    @Test(
        arguments: [
            ErrorCode.fencedInstanceId, .groupAuthorizationFailed, .inconsistentGroupProtocol, .groupMaxSizeReached,
            .invalidSessionTimeout, .invalidGroupId,
        ])
    func someErrorsEndTheMembership(code: ErrorCode) {
        var joining = harness()
        joining.event(.subscribed(.topics(["t"])))
        joining.reply(refusedJoin(code))
        #expect(joining.news() == ["send join ''", "fail \(code)"])
        joining.event(.polled)
        joining.pass(.seconds(1000))
        #expect(joining.news() == [])
        joining.event(.leave)
        #expect(joining.news() == ["left"])

        var beating = settled()
        beating.pass(.seconds(3))
        beating.reply(beaten(code))
        #expect(beating.news() == ["send heartbeat 1", "lose [t-0, t-1]"])
        beating.delegateReturned()
        // The others need not wait for its session to end.
        #expect(beating.news() == (code == .fencedInstanceId ? [] : ["send leave 'me'"]) + ["fail \(code)"])
        beating.event(.pollTimedOut)
        beating.reply(left())
        beating.event(.leave)
        beating.pass(.seconds(1000))
        #expect(beating.news().allSatisfy { $0 == "left" })
    }

    private func left() -> Result<GroupReply, ClientError> { .success(.leave(LeaveGroupResponse())) }

    @Test(
        arguments: [ErrorCode.notCoordinator, .coordinatorNotAvailable, .coordinatorLoadInProgress])
    func someErrorsPass(code: ErrorCode) {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        var pauses: [Duration] = []
        for _ in 0..<8 {
            _ = harness.news()
            harness.reply(refusedJoin(code))
            #expect(harness.news() == [])
            pauses.append(harness.machine.deadline! - harness.now)
            harness.pass(pauses.last!)
            #expect(harness.news() == ["send join ''"])
        }
        #expect(pauses[0] < .milliseconds(61) && pauses[7] > .milliseconds(800))
        harness.reply(joined(1))
        harness.reply(.failure(ClientError(.connectionLost, "gone")))
        _ = harness.news()
        harness.pass(.seconds(2))
        #expect(harness.news() == ["send join 'me'"])
    }

    @Test func aCoordinatorThatIsAwayIsAskedSlowly() {
        var harness = settled()
        harness.pass(.seconds(3))
        var beats = 0
        for _ in 0..<20 {
            harness.reply(.failure(ClientError(.connectionFailed, "nobody")))
            harness.pass(.milliseconds(500))
            beats += harness.news().count
        }
        #expect(beats >= 8 && beats <= 16)
        harness.pass(.seconds(2))
        harness.reply(beaten())
        _ = harness.news()
        harness.pass(.milliseconds(2900))
        #expect(harness.news() == [])
    }

    // MARK: Leaving

    @Test func leavesWithWhatItHasGivenUp() {
        var harness = settled()
        harness.event(.leave)
        #expect(harness.news() == ["revoke [t-0, t-1]"])
        #expect(harness.machine.identity.epoch == 1)
        harness.pass(.seconds(3))
        #expect(harness.news() == ["send heartbeat 1"])
        harness.reply(beaten(.rebalanceInProgress))
        harness.delegateReturned()
        #expect(harness.news() == ["send leave 'me'"])
        harness.event(.leave)
        harness.reply(.failure(ClientError(.timedOut, "late")))
        #expect(harness.news() == ["left"])
        harness.event(.subscribed(.topics(["u"])))
        harness.event(.polled)
        #expect(harness.news() == [])
    }

    @Test func nobodyHasLeftBeforeItIsOver() {
        var harness = settled()
        harness.event(.leave)
        harness.event(.pollTimedOut)
        harness.delegateReturned()
        harness.event(.pollTimedOut)
        #expect(harness.news() == ["revoke [t-0, t-1]", "send leave 'me'"])
        harness.reply(.failure(ClientError(.timedOut, "late")))
        #expect(harness.news() == ["left"])
    }

    @Test func staticMembersLeaveInSilence() {
        var harness = settled(instanceId: "i")
        harness.event(.leave)
        harness.delegateReturned()
        #expect(harness.news() == ["revoke [t-0, t-1]", "left"])
    }

    @Test func leavingDuringAJoin() {
        var harness = settled([.cooperativeSticky])
        harness.event(.rebalanceWanted)
        harness.event(.leave)
        harness.event(.replied(harness.requests.last!.number, joined(2, strategy: "cooperative-sticky")))
        harness.delegateReturned()
        #expect(harness.news() == ["send join 'me'", "revoke [t-0, t-1]", "send leave 'me'"])
    }

    @Test func whoDoesNotPollIsOutUntilItDoes() {
        var harness = settled()
        harness.event(.pollTimedOut)
        #expect(harness.news() == ["send leave 'me'", "lose [t-0, t-1]"])
        #expect(harness.machine.identity == MemberIdentity())
        harness.delegateReturned()
        #expect(harness.news() == ["left"])
        harness.event(.subscribed(.topics(["t", "u"])))
        harness.pass(.seconds(100))
        #expect(harness.news() == [])
        harness.event(.polled)
        #expect(harness.news() == ["send join ''"])
        harness.event(.polled)
        #expect(harness.news() == [])
    }

    @Test func pollingAgainBeforeEverythingIsLost() {
        var harness = settled()
        harness.event(.rebalanceWanted)
        harness.event(.pollTimedOut)
        #expect(harness.news() == ["revoke [t-0, t-1]", "send leave 'me'"])
        harness.event(.polled)
        harness.delegateReturned()
        #expect(harness.news() == ["left", "send join ''"])
    }
}
