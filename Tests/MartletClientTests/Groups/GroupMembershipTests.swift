import KafkaProtocol
import MartletTesting
import Testing

@testable import MartletClient

/// Members with a broker: how they share, come and go. Each test runs for every kind of group.
@Suite(.timeLimit(.minutes(1))) struct GroupMembershipTests {
    enum Kind: CaseIterable, CustomTestStringConvertible {
        case range, roundRobin, sticky, cooperative, consumer

        var groupProtocol: GroupProtocol { self == .consumer ? .consumer : .classic }
        var strategies: [PartitionAssignmentStrategy] {
            switch self {
            case .range, .consumer: [.range]
            case .roundRobin: [.roundRobin, .range]
            case .sticky: [.sticky]
            case .cooperative: [.cooperativeSticky]
            }
        }
        /// Members keep what stays theirs.
        var isIncremental: Bool { self == .cooperative || self == .consumer }
        var testDescription: String { "\(self)" }
    }

    private static let settings = [
        "group.consumer.heartbeat.interval.ms": "50", "group.min.session.timeout.ms": "100",
        "group.consumer.session.timeout.ms": "10000",
    ]

    private func withTopic(
        partitions: Int = 6, settings: [String: String] = [:], _ body: (any TestedBroker, Ledger) async throws -> Void
    ) async throws {
        try await withTestedBroker(Self.settings.merging(settings) { $1 }) { broker in
            try await broker.createTopic("t", partitions: partitions)
            try await body(broker, Ledger())
        }
    }

    private func member(
        _ broker: any TestedBroker, _ ledger: Ledger, _ kind: Kind, instanceId: String? = nil,
        adjust: (inout GroupMembershipConfiguration) -> Void = { _ in }
    ) -> TestMember {
        TestMember(
            broker, ledger, kind.groupProtocol, strategies: kind.strategies, instanceId: instanceId, adjust: adjust)
    }

    private func share(_ members: [TestMember], _ all: Set<TopicPartition>) -> Bool {
        let sizes = members.map(\.owned.count)
        return members.reduce(into: Set()) { $0.formUnion($1.owned) } == all && sizes.reduce(0, +) == all.count
            && sizes.max()! - sizes.min()! <= 1
    }

    @Test(arguments: Kind.allCases) func threeShareAndOneLeaves(kind: Kind) async throws {
        try await withTopic { broker, ledger in
            let all = partitions("t", 0..<6)
            let first = member(broker, ledger, kind).start("t")
            try await eventually("the first has all") { first.owned == all }
            let before = first.delegate.events
            let second = member(broker, ledger, kind).start("t")
            let third = member(broker, ledger, kind).start("t")
            try await eventually("three share") { share([first, second, third], all) }
            if kind.isIncremental {
                // What the first kept was never taken from it.
                let taken = first.delegate.events.dropFirst(before.count).filter { $0.hasPrefix("revoke") }.joined()
                #expect(first.owned.allSatisfy { !taken.contains("\"\($0)\"") })
            }
            try await second.leave()
            #expect(second.owned.isEmpty)
            try await eventually("two share") { share([first, third], all) }
            try await first.leave()
            try await third.leave()
            #expect([first, second, third].allSatisfy { $0.delegate.failure == nil })
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer]) func aKilledMembersPartitionsGoToOthers(
        kind: Kind
    ) async throws {
        try await withTopic(settings: ["group.consumer.session.timeout.ms": "2000"]) { broker, ledger in
            let all = partitions("t", 0..<6)
            let members = (0..<2).map { _ in
                member(broker, ledger, kind) { $0.sessionTimeout = .seconds(2) }.start("t")
            }
            try await eventually("two share") { share(members, all) }
            await members[0].kill()
            ledger.free(members[0].delegate)
            try await eventually("the other has all") { members[1].owned == all }
            try await members[1].leave()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer]) func aSlowListenerKeepsItsSession(
        kind: Kind
    ) async throws {
        try await withTopic(settings: ["group.consumer.session.timeout.ms": "3000"]) { broker, ledger in
            let all = partitions("t", 0..<6)
            // So long that a busy machine does not use it up between two heartbeats.
            let slow = member(broker, ledger, kind) { $0.sessionTimeout = .milliseconds(3000) }
            slow.delegate.state.withLock { state in
                state.pause = .milliseconds(4000)
                for partition in all { state.positions[partition] = ConsumedOffset(7) }
            }
            slow.start("t")
            try await eventually("the first has all") { slow.owned == all }
            let other = member(broker, ledger, kind).start("t")
            try await eventually("two share") { share([slow, other], all) }
            #expect(!slow.delegate.events.contains { $0.hasPrefix("lose") || $0 == "commit failed" })
            let committed = try await other.membership.committed(Array(other.owned))
            #expect(committed.values.map(\.offset) == [7, 7, 7])
            slow.delegate.state.withLock { $0.pause = .zero }
            try await slow.leave()
            try await other.leave()
        }
    }

    @Test(arguments: [Kind.range, .consumer]) func aStaticMemberReturnsToItsPartitions(kind: Kind) async throws {
        try await withTopic { broker, ledger in
            let all = partitions("t", 0..<6)
            let stays = member(broker, ledger, kind, instanceId: "stays").start("t")
            let goes = member(broker, ledger, kind, instanceId: "goes").start("t")
            try await eventually("two share") { share([stays, goes], all) }
            let (events, its) = (stays.delegate.events, goes.owned)
            try await goes.leave()
            try await Task.sleep(for: .milliseconds(150))
            let back = member(broker, ledger, kind, instanceId: "goes").start("t")
            try await eventually("it has its partitions again") { back.owned == its }
            #expect(stays.delegate.events == events)
            try await back.leave()
            try await stays.leave()
        }
    }

    @Test(arguments: [Kind.range, .consumer]) func anInstanceIsThereOnce(kind: Kind) async throws {
        try await withTopic { broker, ledger in
            let first = member(broker, ledger, kind, instanceId: "i").start("t")
            try await eventually("it has all") { first.owned.count == 6 }
            let second = TestMember(broker, Ledger(), kind.groupProtocol, instanceId: "i").start("t")
            // The classic protocol fences who was there before, the new one keeps the newcomer out.
            let fenced = kind == .consumer ? second : first
            try await eventually("one is refused") { fenced.delegate.failure != nil }
            let code: ErrorCode = kind == .consumer ? .unreleasedInstanceId : .fencedInstanceId
            #expect(fenced.delegate.failure?.protocolCode == code && fenced.delegate.failure?.isFatal == true)
            #expect(fenced.owned.isEmpty)
            let other = kind == .consumer ? first : second
            try await eventually("the other has all") { other.owned.count == 6 }
            try await first.leave()
            try await second.leave()
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer]) func theBrokerStartsAgain(kind: Kind) async throws {
        try await withTopic { broker, ledger in
            let all = partitions("t", 0..<6)
            let members = (0..<2).map { _ in member(broker, ledger, kind).start("t") }
            try await eventually("two share") { share(members, all) }
            try await broker.restart()
            // Commits wait for the broker, and then are taken from who is still a member.
            let partition = members[0].owned.first!
            try await eventually("a commit is taken") {
                do {
                    try await members[0].membership.commit([partition: ConsumedOffset(3, metadata: "m")])
                    return true
                } catch {
                    return false
                }
            }
            let committed = try await members[1].membership.committed([partition])
            #expect(committed == [partition: ConsumedOffset(3, metadata: "m")])
            try await eventually("two share again") { share(members, all) }
            let third = member(broker, ledger, kind).start("t")
            try await eventually("three share") { share(members + [third], all) }
            for member in members + [third] { try await member.leave() }
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer]) func aTopicGetsPartitions(kind: Kind) async throws {
        try await withTopic(partitions: 2) { broker, ledger in
            let members = (0..<2).map { _ in member(broker, ledger, kind).start("t") }
            try await eventually("two share") { share(members, partitions("t", 0..<2)) }
            try await Admin(cluster: members[0].cluster).createPartitions("t", count: 5)
            try await eventually("they share the new ones") { share(members, partitions("t", 0..<5)) }
            for member in members { try await member.leave() }
        }
    }

    @Test(arguments: [Kind.range, .cooperative, .consumer]) func aPatternSeesNewTopics(kind: Kind) async throws {
        try await withTopic(partitions: 2) { broker, ledger in
            try await broker.createTopic("other")
            let member = member(broker, ledger, kind)
            member.membership.start(.pattern("t|.*-[0-9]+"))
            try await eventually("it has the first") { member.owned == partitions("t", 0..<2) }
            try await broker.createTopic("a-1")
            try await eventually("it has the second") {
                member.owned == partitions("t", 0..<2).union(partitions("a-1", 0..<1))
            }
            member.membership.update(.topics(["other", "missing"]))
            try await eventually("it has another") { member.owned == partitions("other", 0..<1) }
            try await broker.createTopic("missing")
            try await eventually("it has the one that was missing") {
                member.owned == partitions("other", 0..<1).union(partitions("missing", 0..<1))
            }
            try await member.leave()
        }
    }

    @Test(arguments: [Kind.range, .consumer]) func whoDoesNotPollGivesWay(kind: Kind) async throws {
        try await withTopic { broker, ledger in
            let all = partitions("t", 0..<6)
            let members = (0..<2).map { _ in member(broker, ledger, kind).start("t") }
            try await eventually("two share") { share(members, all) }
            await members[0].membership.pollTimedOut()
            #expect(members[0].owned.isEmpty && members[0].delegate.events.last!.hasPrefix("lose"))
            #expect(members[0].membership.metadata.generation == -1)
            await #expect(throws: ClientError.self) {
                try await members[0].membership.commit([TopicPartition("t", 0): ConsumedOffset(1)])
            }
            try await eventually("the other has all") { members[1].owned == all }
            members[0].membership.polled()
            try await eventually("two share again") { share(members, all) }
            members[0].membership.enforceRebalance()
            for member in members { try await member.leave() }
        }
    }
}
