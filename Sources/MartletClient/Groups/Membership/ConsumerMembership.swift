import KafkaProtocol

/// A member of a group of the new protocol (KIP-848): tells the coordinator with heartbeats what it wants and has, and moves
/// to what it is told to have. Events are taken in `ConsumerMembership+Events`; `proceed` decides what follows.
package struct ConsumerMembership: MembershipMachine {
    enum Phase: Equatable {
        /// Not begun, or out until the application polls again.
        case away
        case joining
        case member
        case sayingGoodbye(Int)
        case ended
    }

    enum Departure {
        /// Until the application polls again.
        case forNow
        case forGood
    }

    /// What the coordinator is told to look for.
    enum Interest: Equatable {
        case names(Set<String>)
        case regex(String)
    }

    struct Partition: Hashable {
        var topicId: Uuid
        var index: Int32
    }

    let configuration: GroupMembershipConfiguration
    var phase = Phase.away
    var memberId: String
    var hasOwnId = true
    /// 0 to join.
    var epoch: Int32 = 0
    var subscription: TopicSubscription?
    /// nil until it is known who matches the pattern.
    var interest: Interest?
    /// What the delegate has.
    var owned = Set<Partition>()
    /// What the delegate is giving up: the coordinator must not give it to others yet.
    var releasing = Set<Partition>()
    /// What the coordinator wants the member to have, until the delegate has it.
    var target: Set<Partition>?
    /// The topics of all assignments so far.
    var names: [Uuid: String] = [:]
    /// Whether the delegate is to hear of an assignment even when nothing is new in it.
    var mustTell = true

    var isDelegateAtWork = false
    var isLost = false
    var departure: Departure?
    var failure: ClientError?
    /// Out because the application did not poll; `mustReturn` when it did before that was over.
    var isOut = false
    var mustReturn = false

    var heartbeat: Int?
    var heartbeatDue: Instant?
    var heartbeatInterval: Duration = .seconds(5)
    /// After an error, so that news wait as well.
    var isPausing = false
    /// The interest that the coordinator knows; nil when all is to be said again, after an error too.
    var toldInterest: Interest?
    /// Whether it is to hear what the member has.
    var mustAcknowledge = false
    /// A question for what the pattern matches, and one for names of topics.
    var look: Int?
    var lookDue: Instant?
    var naming: Int?
    var namingDue: Instant?
    var pauses: AttemptPauses
    var actions: [MembershipAction] = []
    private var lastNumber = 0

    package init(_ configuration: GroupMembershipConfiguration, memberId: String, backoff: Backoff, seed: UInt64) {
        self.configuration = configuration
        self.memberId = memberId
        pauses = AttemptPauses(backoff: backoff, seed: seed)
    }

    package var identity: MemberIdentity {
        epoch > 0 ? MemberIdentity(memberId: memberId, epoch: epoch) : MemberIdentity()
    }
    /// The coordinator takes the epoch of before as well until the member knows the next.
    package var isBetweenGenerations: Bool { false }
    var subject: String { "group '\(configuration.groupId)'" }

    mutating func nextNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    package mutating func handle(_ event: MembershipEvent, at now: Instant) -> [MembershipAction] {
        take(event, now)
        proceed(now)
        keepAlive(now)
        defer { actions = [] }
        return actions
    }

    // MARK: What follows

    private mutating func proceed(_ now: Instant) {
        matchTopics(now)
        guard !isDelegateAtWork, phase != .ended else { return }
        if failure != nil || departure != nil { return end() }
        if isLost { return revoke(owned, lost: true) }
        if phase == .member { reconcile(now) }
    }

    private mutating func end() {
        if case .sayingGoodbye = phase { return }
        if !owned.isEmpty { return revoke(owned, lost: isLost || failure != nil || departure == .forNow) }
        isLost = false
        if let failure {
            phase = .ended
            forgetMembership()
            actions.append(.fail(failure))
            if departure != nil { actions.append(.left) }
        } else if departure == .forNow {
            departure = nil
            isOut = !mustReturn
            mustReturn = false
            phase = isOut ? .away : .joining
            actions.append(.left)
        } else if let number = sayGoodbye() {
            phase = .sayingGoodbye(number)
        } else {
            phase = .ended
            actions.append(.left)
        }
    }

    /// A static member is expected back: its partitions stay its own for the time of a session.
    mutating func sayGoodbye() -> Int? {
        defer { forgetMembership() }
        // One whose join is on its way may be a member by the time that this arrives.
        guard epoch > 0 || (heartbeat != nil && hasOwnId) else { return nil }
        var request = ConsumerGroupHeartbeatRequest()
        request.groupId = configuration.groupId
        request.memberId = memberId
        request.instanceId = configuration.groupInstanceId
        request.memberEpoch = configuration.groupInstanceId == nil ? -1 : -2
        let number = nextNumber()
        actions.append(.send(number, .consumerHeartbeat(request, hasOwnId: hasOwnId)))
        return number
    }

    /// Gives up what is not in the target, then takes what is new, as far as the topics' names are known.
    private mutating func reconcile(_ now: Instant) {
        guard let target else { return }
        let gone = owned.subtracting(target)
        if !gone.isEmpty {
            mustTell = true
            return revoke(gone, lost: false)
        }
        let named = target.filter { names[$0.topicId] != nil }
        let isComplete = named.count == target.count
        if isComplete { self.target = nil } else { askForNames(target, now) }
        guard named != owned || (isComplete && mustTell) else {
            if isComplete { mustAcknowledge = true }
            return
        }
        let added = named.subtracting(owned)
        owned = named
        mustTell = false
        isDelegateAtWork = true
        actions.append(.assign(partitions(added), all: partitions(owned)))
    }

    private mutating func askForNames(_ target: Set<Partition>, _ now: Instant) {
        guard naming == nil, namingDue.map({ now >= $0 }) ?? true else { return }
        let number = nextNumber()
        naming = number
        let ids = Set(target.map(\.topicId)).filter { names[$0] == nil }
        actions.append(.askForTopics(number, TopicsQuestion(ids: ids)))
    }

    private mutating func revoke(_ partitions: Set<Partition>, lost: Bool) {
        if lost { isLost = false }
        guard !partitions.isEmpty else { return }
        owned.subtract(partitions)
        releasing = lost ? [] : partitions
        isDelegateAtWork = true
        actions.append(.revoke(self.partitions(partitions), lost: lost))
    }

    private func partitions(_ partitions: Set<Partition>) -> [TopicPartition] {
        partitions.map { TopicPartition(names[$0.topicId]!, $0.index) }.sorted()
    }

    // MARK: The coordinator forgets

    mutating func forgetMembership() {
        epoch = 0
        target = nil
        toldInterest = nil
        mustAcknowledge = false
        mustTell = true
        heartbeat = nil
        heartbeatDue = nil
    }

    /// The member is none any more: its partitions are gone, and it joins anew.
    mutating func reset(_ now: Instant) {
        forgetMembership()
        isLost = !owned.isEmpty
        guard departure == nil else { return }
        phase = .joining
        heartbeatDue = now + pauses.next()
    }
}
