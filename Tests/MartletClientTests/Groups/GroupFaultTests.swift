import KafkaProtocol
import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// Memberships whose requests are refused, delayed and lost.
@Suite(.timeLimit(.minutes(1))) struct GroupFaultTests {
    private func withTopic(_ body: (TestBroker) async throws -> Void) async throws {
        let settings = [
            "group.consumer.heartbeat.interval.ms": "50", "group.min.session.timeout.ms": "100",
            "group.consumer.session.timeout.ms": "10000",
        ]
        try await withBroker(BrokerTestConfiguration(settings: settings)) { broker in
            try await broker.createTopic("t", partitions: 4)
            try await body(broker)
        }
    }

    private let all = partitions("t", 0..<4)

    @Test(arguments: [GroupProtocol.classic, .consumer]) func whatPassesIsTriedAgain(
        groupProtocol: GroupProtocol
    ) async throws {
        try await withTopic { broker in
            let codes: [BrokerErrorCode] = [.coordinatorLoadInProgress, .notCoordinator, .coordinatorNotAvailable]
            let hook = broker.intercept(
                .findCoordinator, .joinGroup, .syncGroup, .consumerGroupHeartbeat, .offsetCommit, times: 12
            ) { request in
                switch request.number % 4 {
                case 0: .proceed
                case 1: .fail(codes[request.number % 3])
                case 2: .closeConnection
                default: .delay(.milliseconds(20))
                }
            }
            let ledger = Ledger()
            let first = TestMember(broker, ledger, groupProtocol).start("t")
            let second = TestMember(broker, ledger, groupProtocol).start("t")
            try await eventually("two share") { first.owned.count == 2 && second.owned.count == 2 }
            try await first.membership.commit([first.owned.first!: ConsumedOffset(9)])
            #expect(hook.hitCount > 3)
            hook.remove()
            try await first.leave()
            try await second.leave()
        }
    }

    @Test func commitsAndHeartbeatsPassAWaitingJoin() async throws {
        try await withTopic { broker in
            let ledger = Ledger()
            let first = TestMember(broker, ledger, strategies: [.cooperativeSticky]).start("t")
            try await eventually("it has all") { first.owned == all }
            let hook = broker.intercept(.joinGroup, times: 1) { _ in .delay(.seconds(5)) }
            first.membership.enforceRebalance()
            try await eventually("it joins") { hook.hitCount == 1 }
            let start = ContinuousClock.now
            try await first.membership.commit([TopicPartition("t", 0): ConsumedOffset(5)])
            let committed = try await first.membership.committed([TopicPartition("t", 0), TopicPartition("t", 1)])
            #expect(committed == [TopicPartition("t", 0): ConsumedOffset(5, metadata: "")])
            // Long before the join, also on a busy machine.
            #expect(ContinuousClock.now - start < .seconds(4))
            try await first.leave()
        }
    }

    @Test(arguments: [GroupProtocol.classic, .consumer]) func aForgottenMemberLosesAndReturns(
        groupProtocol: GroupProtocol
    ) async throws {
        try await withTopic { broker in
            // The broker has not forgotten the old member of a classic group, and waits for it.
            let member = TestMember(broker, Ledger(), groupProtocol) { $0.sessionTimeout = .milliseconds(500) }
            member.start("t")
            try await eventually("it has all") { member.owned == all }
            let api: InterceptedAPI = groupProtocol == .classic ? .heartbeat : .consumerGroupHeartbeat
            broker.intercept(api, times: 1) { _ in .fail(.unknownMemberId) }
            try await eventually("it has lost them") { member.delegate.events.contains { $0.hasPrefix("lose") } }
            try await eventually("it has them again") { member.owned == all }
            try await member.leave()
        }
    }

    @Test(arguments: [GroupProtocol.classic, .consumer]) func refusedCommits(groupProtocol: GroupProtocol) async throws
    {
        try await withTopic { broker in
            let member = TestMember(broker, Ledger(), groupProtocol) { $0.sessionTimeout = .milliseconds(500) }
            member.start("t")
            try await eventually("it has all") { member.owned == all }
            let offsets = [TopicPartition("t", 1): ConsumedOffset(4, leaderEpoch: 0, metadata: "x")]
            for code in [BrokerErrorCode.rebalanceInProgress, .unknownMemberId] {
                broker.intercept(.offsetCommit, times: 1) { _ in .fail(code) }
                do throws(ClientError) {
                    try await member.membership.commit(offsets)
                    Issue.record("\(code) was passed over")
                } catch {
                    #expect(error.code == .commitFailed && error.brokerErrorCode == code.rawValue)
                }
                try await eventually("it is a member") {
                    member.owned == all && member.membership.metadata.generation >= 0
                }
            }
            let stale = broker.intercept(.offsetCommit, times: 2) { _ in .fail(BrokerErrorCode(rawValue: 113)) }
            let unstable = broker.intercept(.offsetFetch, times: 2) { _ in .fail(BrokerErrorCode(rawValue: 88)) }
            try await eventually("the commit is taken") {
                do throws(ClientError) {
                    try await member.membership.commit(offsets)
                    return true
                } catch {
                    #expect(error.code == .commitFailed)
                    return false
                }
            }
            #expect(try await member.membership.committed(Array(all)) == offsets)
            #expect(stale.hitCount == 2 && unstable.hitCount == 2)
            try await member.leave()
        }
    }

    @Test(arguments: [GroupProtocol.classic, .consumer]) func notAllowed(groupProtocol: GroupProtocol) async throws {
        try await withTopic { broker in
            broker.intercept(.joinGroup, .consumerGroupHeartbeat) { _ in .fail(.groupAuthorizationFailed) }
            let member = TestMember(broker, Ledger(), groupProtocol).start("t")
            try await eventually("it fails") { member.delegate.failure != nil }
            #expect(member.delegate.failure?.protocolCode == .groupAuthorizationFailed)
            try await member.leave()
            #expect(member.delegate.events.isEmpty)
        }
    }

    @Test func strategiesMustAgree() async throws {
        try await withTopic { broker in
            let first = TestMember(broker, strategies: [.range]).start("t")
            try await eventually("it has all") { first.owned == all }
            let second = TestMember(broker, strategies: [.sticky]).start("t")
            try await eventually("the other fails") { second.delegate.failure != nil }
            #expect(second.delegate.failure?.protocolCode == .inconsistentGroupProtocol)
            #expect(first.owned == all)
            try await second.leave()
            try await first.leave()
        }
    }

    /// The connection stays, and nothing comes back on it.
    @Test(arguments: [GroupProtocol.classic, .consumer]) func leavingABrokerThatDoesNotAnswerEnds(
        groupProtocol: GroupProtocol
    ) async throws {
        try await withTopic { broker in
            let member = TestMember(broker, Ledger(), groupProtocol) { $0.leaveTimeout = .milliseconds(300) }
            member.delegate.state.withLock { $0.positions[TopicPartition("t", 0)] = ConsumedOffset(1) }
            member.start("t")
            try await eventually("it has all") { member.owned == all }
            broker.intercept(.heartbeat, .offsetCommit, .leaveGroup, .consumerGroupHeartbeat) { _ in .dropReply }
            let start = ContinuousClock.now
            do throws(ClientError) {
                try await member.membership.leave()
                Issue.record("nobody could know that it left")
            } catch {
                #expect(error.code == .timedOut)
            }
            #expect(ContinuousClock.now - start < .seconds(15))
            #expect(member.owned.isEmpty && member.delegate.events.last == "commit failed")
            await member.kill()
        }
    }

    @Test(arguments: [GroupProtocol.classic, .consumer]) func leavingABrokerThatIsAwayEnds(
        groupProtocol: GroupProtocol
    ) async throws {
        try await withTopic { broker in
            let member = TestMember(broker, Ledger(), groupProtocol) { $0.leaveTimeout = .seconds(1) }
            member.delegate.state.withLock { $0.positions[TopicPartition("t", 0)] = ConsumedOffset(1) }
            member.start("t")
            try await eventually("it has all") { member.owned == all }
            try await broker.stop()
            let start = ContinuousClock.now
            await #expect(throws: ClientError.self) { try await member.leave() }
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(member.owned.isEmpty && member.delegate.events.last == "commit failed")
        }
    }

    /// The requests of a membership while the coordinator refuses everything.
    @Test(arguments: [GroupProtocol.classic, .consumer]) func noStorm(groupProtocol: GroupProtocol) async throws {
        try await withTopic { broker in
            let count = Mutex(0)
            broker.intercept(.findCoordinator, .joinGroup, .consumerGroupHeartbeat) { request in
                count.withLock { $0 += 1 }
                return request.api == .findCoordinator ? .proceed : .fail(.unknownMemberId)
            }
            let start = ContinuousClock.now
            let member = TestMember(broker, Ledger(), groupProtocol).start("t")
            try await eventually("it tries again and again") { count.withLock { $0 } >= 5 }
            try await Task.sleep(for: .seconds(1))
            // A busy machine makes it slower, and longer.
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            #expect(Double(count.withLock { $0 }) < 40 * max(1, seconds))
            try await member.leave()
        }
    }

    /// A delegate that is gone takes its membership with it.
    @Test func withoutADelegate() async throws {
        try await withTopic { broker in
            let ledger = Ledger()
            var forgotten: TestMember? = TestMember(broker, ledger).start("t")
            let other = TestMember(broker, ledger).start("t")
            try await eventually("two share") { forgotten!.owned.count == 2 && other.owned.count == 2 }
            let (membership, cluster) = (forgotten!.membership, forgotten!.cluster)
            forgotten!.delegate.state.withLock { $0.membership = nil }
            ledger.free(forgotten!.delegate)
            forgotten = nil
            other.membership.enforceRebalance()
            try await eventually("the other has all") { other.owned == all }
            #expect(membership.metadata.memberId.isEmpty)
            await cluster.close()
            try await other.leave()
        }
    }

    /// The broker answers a connection's requests in order: what the member does not wait for any more must not hold up its
    /// next join.
    @Test func anAbandonedSyncIsNotWaitedFor() async throws {
        try await withTopic { broker in
            let sync = broker.intercept(.syncGroup, times: 1) { _ in .delay(.seconds(60)) }
            let refused = broker.intercept(.heartbeat, times: 1) { _ in
                sync.hitCount > 0 ? .fail(.illegalGeneration) : .proceed
            }
            let member = TestMember(broker).start("t")
            try await eventually("it is a member nevertheless") { member.owned == all }
            #expect(sync.hitCount == 1 && refused.hitCount == 1)
            try await member.leave()
        }
    }

    @Test func whoLeavesInTheMidstOfARebalanceCanJoinAgain() async throws {
        try await withTopic { broker in
            let sync = broker.intercept(.syncGroup, times: 1) { _ in .delay(.seconds(60)) }
            let member = TestMember(broker).start("t")
            try await eventually("it waits") { sync.hitCount == 1 }
            try await member.membership.leave()
            let again = GroupMembership(
                cluster: member.cluster, configuration: member.membership.configuration, delegate: member.delegate,
                logger: member.membership.logger)
            again.start(.topics(["t"]))
            try await eventually("it is a member again") { member.owned == all }
            try await again.leave()
            await member.cluster.close()
        }
    }
}
