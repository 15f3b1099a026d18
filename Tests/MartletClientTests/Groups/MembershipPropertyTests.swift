import KafkaProtocol
import TestSupport
import Testing

@testable import MartletClient

/// Both state machines among events that come in any order, with replies of every kind.
@Suite struct MembershipPropertyTests {
    private static let codes: [ErrorCode] = [
        .none, .none, .none, .none, .rebalanceInProgress, .unknownMemberId, .illegalGeneration, .notCoordinator,
        .coordinatorLoadInProgress, .memberIdRequired, .fencedMemberEpoch,
    ]

    /// A delegate and a coordinator that answer when the seed wants it.
    private struct World<Machine: MembershipMachine> {
        var machine: Machine
        var generator: SeededGenerator
        var now = ContinuousClock.now
        var owned = Set<TopicPartition>()
        var isDelegateAtWork = false
        var requests: [(Int, GroupRequest)] = []
        var questions: [(Int, TopicsQuestion)] = []
        var departures = 0
        var hasFailed = false
        var epoch: Int32 = 0
        var assignments = 0

        mutating func event(_ event: MembershipEvent) {
            for action in machine.handle(event, at: now) { take(action) }
        }

        private mutating func take(_ action: MembershipAction) {
            switch action {
            case .send(let number, let request): requests.append((number, request))
            case .askForTopics(let number, let question): questions.append((number, question))
            case .revoke(let partitions, _):
                #expect(!isDelegateAtWork && !hasFailed && !partitions.isEmpty)
                #expect(owned.isSuperset(of: partitions))
                owned.subtract(partitions)
                isDelegateAtWork = true
            case .assign(let added, let all):
                #expect(!isDelegateAtWork && !hasFailed)
                #expect(owned.isDisjoint(with: added) && owned.union(added) == Set(all) && all.count == Set(all).count)
                owned = Set(all)
                isDelegateAtWork = true
                assignments += 1
            case .fail:
                #expect(!isDelegateAtWork && !hasFailed && owned.isEmpty)
                hasFailed = true
            case .left: departures += 1
            }
        }

        mutating func returnDelegate() {
            guard isDelegateAtWork else { return }
            isDelegateAtWork = false
            event(.delegateReturned)
        }

        mutating func reply(_ code: ErrorCode? = nil) {
            guard !requests.isEmpty else { return }
            let (number, request) = requests.remove(at: Int.random(in: 0..<requests.count, using: &generator))
            guard Int.random(in: 0..<12, using: &generator) > 0 || code != nil else {
                return event(.replied(number, .failure(ClientError(.connectionLost, "gone"))))
            }
            event(.replied(number, .success(answer(request, code ?? codes.randomElement(using: &generator)!))))
        }

        mutating func answerQuestion() {
            guard !questions.isEmpty else { return }
            let (number, question) = questions.remove(at: Int.random(in: 0..<questions.count, using: &generator))
            var answer = TopicsAnswer()
            for name in ["a", "b", "c"] {
                let count = Int.random(in: 1...3, using: &generator)
                answer.topics[name] = TopicsAnswer.Topic(id: Uuid(name: name), partitionCount: count)
            }
            if question.pattern != nil, Bool.random(using: &generator) || !question.brokerMayMatch {
                answer.matched = ["a", "c"]
            }
            event(.toldTopics(number, .success(answer)))
        }

        private mutating func some() -> [TopicPartition] {
            ["a", "b", "c"].flatMap { name in
                (0..<3 as Range<Int32>).filter { _ in Bool.random(using: &generator) }.map { TopicPartition(name, $0) }
            }
        }

        private mutating func answer(_ request: GroupRequest, _ code: ErrorCode) -> GroupReply {
            // An error that its protocol or request does not have ends the membership, as it should.
            var code = code
            switch request {
            case .consumerHeartbeat:
                if [.rebalanceInProgress, .illegalGeneration, .memberIdRequired].contains(code) { code = .none }
            case .join: if code == .fencedMemberEpoch { code = .none }
            default: if code == .fencedMemberEpoch || code == .memberIdRequired { code = .none }
            }
            switch request {
            case .join:
                var reply = JoinGroupResponse()
                reply.errorCode = code.rawValue
                reply.memberId = "me"
                guard code == .none else { return .join(reply) }
                epoch += 1
                reply.generationId = epoch
                reply.protocolName = PartitionAssignmentStrategy.cooperativeSticky.name
                reply.leader = Bool.random(using: &generator) ? "me" : "other"
                var member = JoinGroupResponse.JoinGroupResponseMember()
                member.memberId = "me"
                member.metadata = MemberSubscription(topics: ["a", "missing"]).encoded
                if reply.leader == "me" { reply.members = [member] }
                return .join(reply)
            case .sync:
                var reply = SyncGroupResponse()
                reply.errorCode = code.rawValue
                reply.assignment = ConsumerProtocol.encodeAssignment(some())
                return .sync(reply)
            case .heartbeat:
                var reply = HeartbeatResponse()
                reply.errorCode = code.rawValue
                return .heartbeat(reply)
            case .leave: return .leave(LeaveGroupResponse())
            case .consumerHeartbeat:
                var reply = ConsumerGroupHeartbeatResponse()
                reply.errorCode = code.rawValue
                epoch += 1
                reply.memberId = "me"
                reply.memberEpoch = epoch
                reply.heartbeatIntervalMs = 3000
                if Bool.random(using: &generator) {
                    var assignment = ConsumerGroupHeartbeatResponse.Assignment()
                    assignment.topicPartitions = ConsumerProtocol.grouped(some()).map { name, partitions in
                        var topic = ConsumerGroupHeartbeatResponse.TopicPartitions()
                        topic.topicId = Uuid(name: name)
                        topic.partitions = partitions
                        return topic
                    }
                    reply.assignment = assignment
                }
                return .consumerHeartbeat(reply)
            }
        }

        mutating func step() {
            switch Int.random(in: 0..<20, using: &generator) {
            case 0..<7: reply()
            case 7..<11: returnDelegate()
            case 11..<14: answerQuestion()
            case 14, 15, 16:
                now += .milliseconds(Int.random(in: 0...4000, using: &generator))
                event(.timeReached)
            case 17:
                let choices: [TopicSubscription] = [.topics(["a"]), .topics(["a", "b"]), .pattern("[ac]")]
                event(.subscribed(choices.randomElement(using: &generator)!))
            case 18:
                event(
                    Bool.random(using: &generator)
                        ? .rebalanceWanted : .commitRefused(.unknownMemberId, machine.identity))
            default: event(Int.random(in: 0..<4, using: &generator) == 0 ? .pollTimedOut : .polled)
            }
        }

        var codes: [ErrorCode] { MembershipPropertyTests.codes }
    }

    /// When everybody answers kindly at last, it becomes a member, and leaves with nothing.
    private func run(_ machine: some MembershipMachine, seed: UInt64) -> Int {
        var world = World(machine: machine, generator: SeededGenerator(seed: seed))
        world.event(.subscribed(.topics(["a", "b"])))
        for _ in 0..<300 {
            world.step()
            #expect(world.requests.count < 30 && world.questions.count < 30)
        }
        world.event(.polled)
        for _ in 0..<200 {
            world.returnDelegate()
            world.answerQuestion()
            world.reply(ErrorCode.none)
            world.now += .milliseconds(500)
            world.event(.timeReached)
            world.event(.polled)
        }
        #expect(!world.hasFailed)
        #expect(world.machine.identity.epoch > 0, "seed \(seed)")
        let departures = world.departures
        world.event(.leave)
        for _ in 0..<6 {
            world.returnDelegate()
            world.reply(ErrorCode.none)
        }
        while !world.requests.isEmpty { world.reply(ErrorCode.none) }
        #expect(world.departures == departures + 1 && world.owned.isEmpty && !world.isDelegateAtWork)
        #expect(world.machine.deadline == nil && world.machine.identity.epoch == -1)
        return world.assignments
    }

    @Test func classic() {
        var assignments = 0
        for seed in 0..<300 as Range<UInt64> {
            var configuration = GroupMembershipConfiguration(groupId: "g")
            configuration.strategies = seed % 2 == 0 ? [.cooperativeSticky] : [.cooperativeSticky, .range]
            assignments += run(ClassicMembership(configuration, backoff: Backoff(), seed: seed), seed: seed)
        }
        #expect(assignments > 1500)
    }

    @Test func consumer() {
        var assignments = 0
        for seed in 0..<300 as Range<UInt64> {
            let configuration = GroupMembershipConfiguration(groupId: "g")
            assignments += run(
                ConsumerMembership(configuration, memberId: "me", backoff: Backoff(), seed: seed), seed: seed)
        }
        #expect(assignments > 5000)
    }
}
