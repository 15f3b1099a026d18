import HistoryChecker
import KafkaProtocol
import MartletClient

/// One life of a member of a group: the client's own state machine decides, this carries it out. What a consumer does
/// with its partitions is in `GroupMember+Consuming`.
final class GroupMember: Client {
    /// What the state machine takes for the time when the simulation began.
    private static let start = ContinuousClock.now

    let group: MemberGroup
    /// One of `group`'s places, and the how manieth in it.
    let process: String
    private var machine: any MembershipMachine
    private var timer = 0
    private var timerDue: ContinuousClock.Instant?
    private var coordinator: Int32?
    /// The request for whose reply the coordinator waits for other members.
    private var waitingRequest: Int?
    /// It does and hears nothing any more.
    private(set) var isOver = false
    private let onEnd: () -> Void

    /// Where it is in the partitions that it has; nil until it knows where the group stands.
    var positions: [TopicPartition: Int64?] = [:]
    /// Those that it is giving up: nothing more of them is handed out.
    var leaving: Set<TopicPartition> = []
    /// Those that it still holds though it is no member: others may have them, also when it is a member again.
    var expelledFrom: Set<TopicPartition> = []
    /// What it had committed, for certain.
    var committed: [TopicPartition: Int64] = [:]
    var isCommitting = false
    /// Counts what it was assigned, so that what was asked for before does not count for what came after.
    var assignments: [TopicPartition: Int] = [:]
    var assignmentCount = 0

    init(
        _ group: MemberGroup, _ process: String, _ number: Int, _ machine: any MembershipMachine,
        onEnd: @escaping () -> Void
    ) {
        self.group = group
        self.process = process
        self.machine = machine
        self.onEnd = onEnd
        super.init(group.world, process, number)
    }

    var identity: MemberIdentity { machine.identity }

    func join() {
        handle(.subscribed(.topics(group.topics)))
        commitNowAndThen()
    }

    // MARK: The state machine

    func handle(_ event: MembershipEvent) {
        guard !isOver else { return }
        let actions = machine.handle(event, at: Self.start + .nanoseconds(timeline.now))
        setTimer()
        // By what it makes of the event: while it joins, it rightly passes over that its generation is past.
        if machine.identity.epoch < 0 { expelledFrom.formUnion(positions.keys) }
        for action in actions { perform(action) }
    }

    private func setTimer() {
        guard machine.deadline != timerDue else { return }
        timerDue = machine.deadline
        timer += 1
        guard let due = timerDue else { return }
        let number = timer
        let (seconds, fraction) = (due - (Self.start + .nanoseconds(timeline.now))).components
        // Not before it is due, whatever is less than a nanosecond.
        timeline.after(seconds * 1_000_000_000 + fraction / 1_000_000_000 + 1, "member-timer") { [self] in
            guard number == timer else { return }
            timerDue = nil
            handle(.timeReached)
        }
    }

    private func perform(_ action: MembershipAction) {
        switch action {
        case .send(let number, let request): send(number, request)
        case .askForTopics(let number, let question): answer(number, question)
        case .assign(let added, let all):
            take(
                added.map { TopicPartition($0.topic, $0.partition) },
                all: all.map { TopicPartition($0.topic, $0.partition) })
        case .revoke(let partitions, let lost):
            give(partitions.map { TopicPartition($0.topic, $0.partition) }, lost: lost)
        case .fail(let error):
            // Another with its name may be there, its own life before or a request of its own that came late.
            let isNamesake = error.protocolCode == .fencedInstanceId || error.protocolCode == .unreleasedInstanceId
            if !isNamesake || group.isDynamic { world.fail("\(process) fails: \(error)") }
            world.note("\(process) fails: \(error)")
            end()
        case .left: if isLeaving { end() }
        }
    }

    // MARK: Its end

    private var isLeaving = false

    /// Gives its partitions up and says goodbye.
    func leave() {
        isLeaving = true
        handle(.leave)
    }

    /// The process is gone: nobody hears of it but the kernels at the other ends.
    func end() {
        guard !isOver else { return }
        isOver = true
        hangUp(.ordinary, .rebalance)
        group.ownership.ended(process)
        onEnd()
    }

    // MARK: Requests

    func withCoordinator(_ body: @escaping (Int32?) -> Void) {
        if let coordinator { return body(coordinator) }
        findCoordinator(of: group.name, type: 0) { [self] node in
            coordinator = node
            body(node)
        }
    }

    func forgetCoordinator() { coordinator = nil }

    private func send(_ number: Int, _ request: GroupRequest) {
        if request.waitsForMembers {
            let isAbandoned = waitingRequest != nil
            waitingRequest = number
            // It would have to wait for the reply to the one before.
            if isAbandoned { hangUp(.rebalance) }
        }
        if request.isGoodbye {
            timeline.after(.seconds(3), "goodbye") { [self] in
                handle(.replied(number, .failure(ClientError(.timedOut, "no answer to the goodbye"))))
            }
        }
        send(request) { [self] result in
            if request.waitsForMembers {
                guard waitingRequest == number else { return }
                waitingRequest = nil
            }
            switch result {
            case .success(let reply) where reply.code == .notCoordinator || reply.code == .coordinatorNotAvailable:
                forgetCoordinator()
            case .success(let reply):
                if reply.code != .none { world.note("\(process) is told \(reply.code)") }
            case .failure: forgetCoordinator()
            }
            handle(.replied(number, result))
        }
    }

    private func send(_ request: GroupRequest, _ completion: @escaping (Result<GroupReply, ClientError>) -> Void) {
        withCoordinator { [self] node in
            guard let node else {
                return completion(.failure(ClientError(.connectionFailed, "nobody coordinates the group now")))
            }
            func done(_ reply: GroupReply?) {
                completion(reply.map { .success($0) } ?? .failure(ClientError(.connectionLost, "no answer")))
            }
            let waitsForOthers = group.rebalanceSeconds * 1000 + 5000
            switch request {
            case .join(let request):
                ask(node, request, 9, timeout: waitsForOthers, on: .rebalance) { done($0.map(GroupReply.join)) }
            case .sync(let request):
                ask(node, request, 5, timeout: waitsForOthers, on: .rebalance) { done($0.map(GroupReply.sync)) }
            case .heartbeat(let request): ask(node, request, 4) { done($0.map(GroupReply.heartbeat)) }
            case .leave(var request):
                var member = LeaveGroupRequest.MemberIdentity()
                member.memberId = request.memberId
                request.memberId = ""
                request.members = [member]
                ask(node, request, 5) { done($0.map(GroupReply.leave)) }
            case .consumerHeartbeat(let request, _):
                ask(node, request, 1) { done($0.map(GroupReply.consumerHeartbeat)) }
            }
        }
    }

    private func answer(_ number: Int, _ question: TopicsQuestion) {
        var request = MetadataRequest()
        request.allowAutoTopicCreation = false
        request.topics =
            question.names.sorted().map { name in
                var topic = MetadataRequest.MetadataRequestTopic()
                topic.name = name
                return topic
            }
            + question.ids.sorted { ($0.high, $0.low) < ($1.high, $1.low) }.map { id in
                var topic = MetadataRequest.MetadataRequestTopic()
                topic.name = nil
                topic.topicId = id
                return topic
            }
        ask(anyNode(), request, 12) { [self] response in
            guard let response else {
                return handle(.toldTopics(number, .failure(ClientError(.connectionLost, "no answer"))))
            }
            var answer = TopicsAnswer()
            for topic in response.topics where topic.errorCode == 0 {
                guard let name = topic.name else { continue }
                answer.topics[name] = TopicsAnswer.Topic(id: topic.topicId, partitionCount: topic.partitions.count)
            }
            handle(.toldTopics(number, .success(answer)))
        }
    }
}
