import KafkaProtocol
import Testing

@testable import MartletClient

/// Drives a membership's state machine by hand, with a clock that only moves when it is told to.
struct MachineHarness<Machine: MembershipMachine> {
    var machine: Machine
    var now = ContinuousClock.now
    /// What the machine decided and was not looked at yet, in words.
    private(set) var log: [String] = []
    private(set) var requests: [(number: Int, request: GroupRequest)] = []
    private(set) var questions: [(number: Int, question: TopicsQuestion)] = []

    init(_ machine: Machine) {
        self.machine = machine
    }

    mutating func event(_ event: MembershipEvent) {
        for action in machine.handle(event, at: now) {
            switch action {
            case .send(let number, let request):
                requests.append((number, request))
                log.append("send \(request.name)")
            case .askForTopics(let number, let question):
                questions.append((number, question))
                log.append("ask")
            case .revoke(let partitions, let lost): log.append("\(lost ? "lose" : "revoke") \(partitions)")
            case .assign(let added, let all): log.append("assign \(added) of \(all)")
            case .fail(let error): log.append("fail \(error.protocolCode?.description ?? "\(error.code)")")
            case .left: log.append("left")
            }
        }
    }

    /// What was decided since the last look.
    mutating func news() -> [String] {
        defer { log = [] }
        return log
    }

    mutating func reply(_ result: Result<GroupReply, ClientError>) {
        guard let last = requests.last else {
            Issue.record("nothing was asked")
            return
        }
        event(.replied(last.number, result))
    }

    mutating func answer(_ counts: [String: Int], matched: Set<String>? = nil) {
        guard let last = questions.last else {
            Issue.record("nothing was asked")
            return
        }
        let topics = counts.map { name, count in
            (name, TopicsAnswer.Topic(id: Uuid(name: name), partitionCount: count))
        }
        event(
            .toldTopics(
                last.number,
                .success(TopicsAnswer(topics: Dictionary(uniqueKeysWithValues: topics), matched: matched))))
    }

    /// Lets time pass, and wakes the machine whenever it wants to be.
    mutating func pass(_ duration: Duration) {
        let end = now + duration
        var wakes = 0
        while let deadline = machine.deadline, deadline <= end {
            now = max(now, deadline)
            event(.timeReached)
            wakes += 1
            guard wakes < 1000 else {
                Issue.record("the machine wakes up in vain")
                return
            }
        }
        now = end
    }

    mutating func delegateReturned() {
        event(.delegateReturned)
    }
}

extension GroupRequest {
    var name: String {
        switch self {
        case .join(let request): "join '\(request.memberId)'"
        case .sync(let request): "sync \(request.generationId)"
        case .heartbeat(let request): "heartbeat \(request.generationId)"
        case .leave(let request): "leave '\(request.memberId)'"
        case .consumerHeartbeat(let request, _): "heartbeat \(request.memberEpoch)"
        }
    }
}

extension Uuid {
    /// A topic's id in tests.
    init(name: String) {
        self.init(high: 1, low: name.utf8.reduce(0) { $0 << 8 | UInt64($1) })
    }
}
