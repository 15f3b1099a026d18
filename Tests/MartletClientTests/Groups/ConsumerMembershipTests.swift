import KafkaProtocol
import Testing

@testable import MartletClient

@Suite struct ConsumerMembershipTests {
    private typealias Harness = MachineHarness<ConsumerMembership>

    private func harness(instanceId: String? = nil) -> Harness {
        var configuration = GroupMembershipConfiguration(groupId: "g")
        configuration.groupInstanceId = instanceId
        configuration.remoteAssignor = "uniform"
        configuration.rackId = "r"
        return Harness(ConsumerMembership(configuration, memberId: "me", backoff: Backoff(), seed: 1))
    }

    private func told(_ epoch: Int32, _ topics: [String: [Int32]]? = nil) -> Result<GroupReply, ClientError> {
        var reply = ConsumerGroupHeartbeatResponse()
        reply.memberId = "me"
        reply.memberEpoch = epoch
        reply.heartbeatIntervalMs = 5000
        reply.assignment = topics.map { topics in
            var assignment = ConsumerGroupHeartbeatResponse.Assignment()
            assignment.topicPartitions = topics.map { name, partitions in
                var topic = ConsumerGroupHeartbeatResponse.TopicPartitions()
                topic.topicId = Uuid(name: name)
                topic.partitions = partitions
                return topic
            }
            return assignment
        }
        return .success(.consumerHeartbeat(reply))
    }

    private func refused(_ code: ErrorCode) -> Result<GroupReply, ClientError> {
        var reply = ConsumerGroupHeartbeatResponse()
        reply.errorCode = code.rawValue
        return .success(.consumerHeartbeat(reply))
    }

    private func request(_ harness: Harness) throws -> ConsumerGroupHeartbeatRequest {
        guard case .consumerHeartbeat(let request, _)? = harness.requests.last?.request else {
            throw ClientError(.invalidState, "no heartbeat was sent")
        }
        return request
    }

    private func partitions(_ request: ConsumerGroupHeartbeatRequest) -> [Uuid: [Int32]]? {
        request.topicPartitions.map { topics in
            Dictionary(uniqueKeysWithValues: topics.map { ($0.topicId, $0.partitions) })
        }
    }

    /// A member that has partitions 0 and 1 of "t" in epoch 1, and has said so.
    private func settled(instanceId: String? = nil) -> Harness {
        var harness = harness(instanceId: instanceId)
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(told(1, ["t": [0, 1]]))
        harness.answer(["t": 2])
        harness.delegateReturned()
        harness.reply(told(1))
        _ = harness.news()
        return harness
    }

    @Test func joinsTakesAndAcknowledges() throws {
        var harness = harness(instanceId: "i")
        harness.event(.subscribed(.topics(["t", "a"])))
        #expect(harness.news() == ["send heartbeat 0"])
        let join = try request(harness)
        #expect(join.subscribedTopicNames == ["a", "t"] && join.topicPartitions == [] && join.memberId == "me")
        #expect(join.rebalanceTimeoutMs == 300_000 && join.serverAssignor == "uniform")
        #expect(join.rackId == "r" && join.instanceId == "i")
        #expect(harness.machine.identity == MemberIdentity())
        harness.reply(told(1, ["t": [0, 1]]))
        #expect(harness.news() == ["ask"])
        #expect(harness.questions.last?.question.ids == [Uuid(name: "t")])
        harness.answer(["t": 2])
        #expect(harness.news() == ["assign [t-0, t-1] of [t-0, t-1]"])
        harness.pass(.seconds(5))
        #expect(harness.news() == ["send heartbeat 1"])
        #expect(try request(harness).subscribedTopicNames == nil)
        harness.delegateReturned()
        harness.reply(told(1))
        // What it has is said at once and not with the next heartbeat in its turn.
        #expect(harness.news() == ["send heartbeat 1"])
        let acknowledgement = try request(harness)
        #expect(partitions(acknowledgement) == [Uuid(name: "t"): [0, 1]])
        #expect(acknowledgement.subscribedTopicNames == nil && acknowledgement.rebalanceTimeoutMs == -1)
        #expect(acknowledgement.instanceId == "i" && acknowledgement.serverAssignor == nil)
        harness.reply(told(1))
        harness.pass(.milliseconds(4999))
        #expect(harness.news() == [])
        harness.pass(.milliseconds(1))
        #expect(harness.news() == ["send heartbeat 1"])
        #expect(try request(harness).topicPartitions == nil)
        #expect(harness.machine.identity == MemberIdentity(memberId: "me", epoch: 1))
    }

    @Test func anEmptyFirstAssignmentIsTold() {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        harness.reply(told(1, [:]))
        #expect(harness.news() == ["send heartbeat 0", "assign [] of []"])
    }

    @Test func whatIsBeingRevokedIsStillHeld() throws {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(told(1, ["t": [0]]))
        #expect(harness.news() == ["send heartbeat 1", "revoke [t-1]"])
        // A full heartbeat after an error, while the listener is at work.
        harness.pass(.seconds(5))
        harness.reply(.failure(ClientError(.connectionLost, "gone")))
        harness.pass(.seconds(1))
        #expect(partitions(try request(harness)) == [Uuid(name: "t"): [0, 1]])
        #expect(try request(harness).subscribedTopicNames == ["t"])
        harness.reply(told(1, ["t": [0]]))
        _ = harness.news()
        harness.delegateReturned()
        #expect(harness.news() == ["assign [] of [t-0]", "send heartbeat 1"])
        #expect(partitions(try request(harness)) == [Uuid(name: "t"): [0]])
    }

    @Test func aNewTargetWaitsForTheDelegate() {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(told(2, ["t": [0]]))
        harness.pass(.seconds(5))
        harness.reply(told(3, ["t": [0, 2]]))
        #expect(harness.news() == ["send heartbeat 1", "revoke [t-1]", "send heartbeat 2"])
        harness.delegateReturned()
        #expect(harness.news() == ["assign [t-2] of [t-0, t-2]", "send heartbeat 3"])
    }

    @Test func aRecreatedTopicIsAnother() {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(told(2, ["t'": [0]]))
        #expect(harness.news() == ["send heartbeat 1", "revoke [t-0, t-1]"])
        harness.delegateReturned()
        let answer = TopicsAnswer(topics: ["t": TopicsAnswer.Topic(id: Uuid(name: "t'"), partitionCount: 1)])
        harness.event(.toldTopics(harness.questions.last!.number, .success(answer)))
        #expect(harness.news().contains("assign [t-0] of [t-0]"))
    }

    @Test func namesThatAreNotKnownYetAreAskedForAgain() {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(told(2, ["t": [0, 1], "u": [0]]))
        #expect(harness.news() == ["send heartbeat 1", "ask"])
        harness.answer([:])
        harness.pass(.milliseconds(900))
        #expect(harness.news() == [])
        harness.pass(.milliseconds(100))
        #expect(harness.news() == ["ask"])
        harness.answer(["u": 1])
        #expect(harness.news() == ["assign [u-0] of [t-0, t-1, u-0]"])
    }

    @Test(arguments: [ErrorCode.fencedMemberEpoch, .unknownMemberId]) func aFencedMemberHasLost(
        code: ErrorCode
    ) throws {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(refused(code))
        #expect(harness.news() == ["send heartbeat 1", "lose [t-0, t-1]"])
        #expect(harness.machine.identity == MemberIdentity())
        harness.pass(.seconds(20))
        #expect(harness.news() == [])
        harness.delegateReturned()
        #expect(harness.news() == ["send heartbeat 0"])
        #expect(try request(harness).topicPartitions == [] && request(harness).subscribedTopicNames == ["t"])
        harness.reply(told(7, ["t": [1]]))
        #expect(harness.news() == ["assign [t-1] of [t-1]"])
    }

    @Test(
        arguments: [
            ErrorCode.unreleasedInstanceId, .fencedInstanceId, .unsupportedAssignor, .groupMaxSizeReached,
            .groupAuthorizationFailed, .invalidRequest, .invalidRegularExpression, .unsupportedVersion,
        ])
    func someErrorsEndTheMembership(code: ErrorCode) {
        var harness = settled()
        harness.pass(.seconds(5))
        harness.reply(refused(code))
        harness.delegateReturned()
        #expect(harness.news() == ["send heartbeat 1", "lose [t-0, t-1]", "fail \(code)"])
        harness.pass(.seconds(1000))
        #expect(harness.news() == [])
    }

    @Test(arguments: [ErrorCode.notCoordinator, .coordinatorNotAvailable, .coordinatorLoadInProgress])
    func someErrorsPass(code: ErrorCode) throws {
        var harness = settled()
        harness.pass(.seconds(5))
        var beats = 0
        for _ in 0..<20 {
            harness.reply(refused(code))
            harness.pass(.milliseconds(500))
            beats += harness.news().count
            #expect(try request(harness).topicPartitions?.count == (beats > 1 ? 1 : nil))
        }
        #expect(beats >= 8 && beats <= 18)
    }

    @Test func aNewSubscriptionIsToldAtOnce() throws {
        var harness = settled()
        harness.event(.subscribed(.topics(["u"])))
        #expect(harness.news() == ["send heartbeat 1"])
        #expect(try request(harness).subscribedTopicNames == ["u"])
        #expect(try request(harness).topicPartitions == nil)
    }

    @Test func theBrokerMatchesPatterns() throws {
        var harness = harness()
        harness.event(.subscribed(.pattern("t.*")))
        #expect(harness.news() == ["ask"])
        #expect(harness.questions.last?.question == TopicsQuestion(pattern: "t.*", brokerMayMatch: true))
        harness.answer([:])
        #expect(harness.news() == ["send heartbeat 0"])
        #expect(try request(harness).subscribedTopicRegex == "t.*" && request(harness).subscribedTopicNames == [])
        harness.reply(told(1, [:]))
        harness.delegateReturned()
        harness.reply(told(1))
        harness.event(.subscribed(.topics(["u"])))
        #expect(try request(harness).subscribedTopicRegex == "" && request(harness).subscribedTopicNames == ["u"])
    }

    @Test func orTheClientDoes() throws {
        var harness = harness()
        harness.event(.subscribed(.pattern("t.*")))
        harness.answer(["t": 1, "u": 1], matched: ["t"])
        #expect(try request(harness).subscribedTopicNames == ["t"])
        harness.reply(told(1, [:]))
        harness.delegateReturned()
        for _ in 0..<60 {
            harness.reply(told(1))
            harness.pass(.seconds(5))
        }
        #expect(harness.questions.count == 2)
        harness.reply(told(1))
        harness.answer(["t": 1, "t2": 1], matched: ["t", "t2"])
        #expect(try request(harness).subscribedTopicNames == ["t", "t2"])
    }

    @Test(arguments: [nil, "i"]) func leaves(instanceId: String?) throws {
        var harness = settled(instanceId: instanceId)
        harness.event(.leave)
        #expect(harness.news() == ["revoke [t-0, t-1]"])
        // The session goes on while the last offsets are committed.
        harness.pass(.seconds(5))
        #expect(harness.news() == ["send heartbeat 1"])
        harness.reply(told(1))
        harness.delegateReturned()
        #expect(harness.news() == ["send heartbeat \(instanceId == nil ? -1 : -2)"])
        harness.reply(told(-1))
        #expect(harness.news() == ["left"])
        harness.pass(.seconds(1000))
        #expect(harness.news() == [])
    }

    @Test func nobodyHasLeftBeforeItIsOver() {
        var harness = settled()
        harness.event(.leave)
        harness.event(.pollTimedOut)
        harness.delegateReturned()
        harness.event(.pollTimedOut)
        #expect(harness.news() == ["revoke [t-0, t-1]", "send heartbeat -1"])
        harness.reply(.failure(ClientError(.timedOut, "late")))
        #expect(harness.news() == ["left"])
    }

    @Test func leavesWhileItJoins() {
        var harness = harness()
        harness.event(.subscribed(.topics(["t"])))
        harness.event(.leave)
        #expect(harness.news() == ["send heartbeat 0", "send heartbeat -1"])
        harness.reply(told(-1))
        #expect(harness.news() == ["left"])
    }

    @Test func whoDoesNotPollIsOutUntilItDoes() {
        var harness = settled()
        harness.event(.pollTimedOut)
        #expect(harness.news() == ["send heartbeat -1", "lose [t-0, t-1]"])
        harness.delegateReturned()
        #expect(harness.news() == ["left"])
        harness.pass(.seconds(100))
        #expect(harness.news() == [])
        harness.event(.polled)
        #expect(harness.news() == ["send heartbeat 0"])
    }
}
