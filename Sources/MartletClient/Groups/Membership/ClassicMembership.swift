import KafkaProtocol

/// A member of a classic group (KIP-62): joins, divides the partitions if it is the leader, learns its own, stays alive,
/// leaves. Events are taken in `ClassicMembership+Replies`; `proceed` decides what follows.
package struct ClassicMembership: MembershipMachine {
    enum Phase: Equatable {
        /// Not begun, or out until the application polls again.
        case away
        /// On the way into the next generation, before the request.
        case preparing
        /// After an error.
        case pausing(until: Instant)
        /// Asks for the topics that the pattern matches.
        case resolving(Int)
        case joining(Int)
        /// The leader asks for the partitions of the group's topics.
        case dividing(Int, JoinGroupResponse)
        case syncing(Int, protocolName: String)
        /// Partitions that went to others are being given up before the new ones are taken.
        case taking([TopicPartition])
        case settled
        /// The last partitions are being given up.
        case leaving
        case sayingGoodbye(Int)
        case ended
    }

    enum Departure {
        /// Until the application polls again.
        case forNow
        case forGood
    }

    let configuration: GroupMembershipConfiguration
    /// Members keep partitions in a rebalance. Eager when any of the strategies is, since the group may agree on it.
    let isCooperative: Bool
    var phase = Phase.away
    var memberId = ""
    var generation: Int32 = -1
    /// What the delegate has.
    var owned: [TopicPartition] = []
    /// The last assignment and its generation, for `sticky`, whose members have given it up when they join again.
    var previous = StickyUserData(partitions: [], generation: -1)
    var subscription: TopicSubscription?
    /// The topics to read; nil when a pattern is still to be resolved.
    var topics: Set<String>?
    /// The partitions of all the group's topics when this member divided them as leader; nil when another one is.
    var divided: [String: Int]?
    /// The topics that the members named then, whether they exist or not.
    var groupTopics: Set<String> = []

    var isDelegateAtWork = false
    var isLost = false
    var mustRejoin = false
    var departure: Departure?
    var failure: ClientError?
    /// Out because the application did not poll; `mustReturn` when it did before that was over.
    var isOut = false
    var mustReturn = false

    var heartbeat: Int?
    var heartbeatIdentity = MemberIdentity()
    var heartbeatDue: Instant?
    var look: Int?
    var lookDue: Instant?
    var pauses: AttemptPauses
    var heartbeatPauses: AttemptPauses
    var actions: [MembershipAction] = []
    private var lastNumber = 0

    package init(_ configuration: GroupMembershipConfiguration, backoff: Backoff, seed: UInt64) {
        precondition(!configuration.strategies.isEmpty, "a group needs a strategy")
        self.configuration = configuration
        isCooperative = configuration.strategies.allSatisfy(\.isCooperative)
        pauses = AttemptPauses(backoff: backoff, seed: seed)
        heartbeatPauses = AttemptPauses(backoff: backoff, seed: seed &+ 1)
    }

    package var identity: MemberIdentity { MemberIdentity(memberId: memberId, epoch: generation) }
    package var isBetweenGenerations: Bool {
        switch phase {
        case .joining, .dividing, .syncing: true
        default: false
        }
    }
    var subject: String { "group '\(configuration.groupId)'" }

    mutating func nextNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    package mutating func handle(_ event: MembershipEvent, at now: Instant) -> [MembershipAction] {
        take(event, now)
        proceed(now)
        defer { actions = [] }
        return actions
    }

    // MARK: What follows

    private mutating func proceed(_ now: Instant) {
        keepAlive(now)
        lookAtTopics(now)
        guard !isDelegateAtWork, phase != .ended else { return }
        if failure != nil || departure != nil { return end() }
        if isLost { return revoke(owned, lost: true) }
        switch phase {
        case .settled where mustRejoin: prepare()
        case .preparing: prepare()
        case .pausing(let until) where now >= until: prepare()
        case .taking(let assignment):
            phase = .settled
            assign(assignment)
        default: break
        }
    }

    private mutating func end() {
        if case .sayingGoodbye = phase { return }
        if !owned.isEmpty { return revoke(owned, lost: isLost || failure != nil || departure == .forNow) }
        isLost = false
        if let failure {
            // Who is fenced is a member no more, but another that took its name is.
            let goodbye = failure.protocolCode == .fencedInstanceId ? nil : sayGoodbye()
            actions.append(.fail(failure))
            if let goodbye { return phase = .sayingGoodbye(goodbye) }
            phase = .ended
            forgetMembership(idToo: true)
            if departure != nil { actions.append(.left) }
        } else if departure == .forNow {
            departure = nil
            isOut = !mustReturn
            mustReturn = false
            phase = isOut ? .away : .preparing
            actions.append(.left)
            if !isOut { prepare() }
        } else if let number = sayGoodbye() {
            phase = .sayingGoodbye(number)
        } else {
            phase = .ended
            actions.append(.left)
        }
    }

    /// A static member's partitions wait for it, so it says nothing.
    mutating func sayGoodbye() -> Int? {
        defer { forgetMembership(idToo: true) }
        guard !memberId.isEmpty, configuration.groupInstanceId == nil else { return nil }
        var request = LeaveGroupRequest()
        request.groupId = configuration.groupId
        request.memberId = memberId
        let number = nextNumber()
        actions.append(.send(number, .leave(request)))
        return number
    }

    /// Gives up what must be given up before the request, resolves the pattern, joins.
    private mutating func prepare() {
        phase = .preparing
        let given = isCooperative ? owned.filter { topics?.contains($0.topic) == false } : owned
        if !given.isEmpty { return revoke(given, lost: false) }
        guard let topics else {
            let number = nextNumber()
            phase = .resolving(number)
            actions.append(.askForTopics(number, TopicsQuestion(pattern: subscription?.pattern)))
            return
        }
        mustRejoin = false
        let number = nextNumber()
        phase = .joining(number)
        actions.append(.send(number, .join(joinRequest(topics))))
    }

    // MARK: The delegate

    private mutating func revoke(_ partitions: [TopicPartition], lost: Bool) {
        if lost { isLost = false }
        owned.removeAll(where: Set(partitions).contains)
        // Lost without having had anything: nobody needs to hear of it.
        guard !partitions.isEmpty else { return }
        isDelegateAtWork = true
        actions.append(.revoke(partitions, lost: lost))
    }

    /// Takes the assignment of a new generation over.
    mutating func take(assignment: [TopicPartition]) {
        let kept = Set(assignment)
        let gone = owned.filter { !kept.contains($0) }
        phase = .taking(assignment)
        guard !gone.isEmpty else { return }
        // Only when it has joined again can the others be given them.
        mustRejoin = true
        revoke(gone, lost: false)
    }

    private mutating func assign(_ assignment: [TopicPartition]) {
        let had = Set(owned)
        owned = assignment
        isDelegateAtWork = true
        actions.append(.assign(assignment.filter { !had.contains($0) }, all: assignment))
    }

    // MARK: The coordinator forgets

    /// The member is none any more, or of a past generation; its partitions are gone.
    mutating func forgetMembership(idToo: Bool) {
        if idToo { memberId = "" }
        generation = -1
        heartbeat = nil
        heartbeatDue = nil
        divided = nil
    }

    mutating func reset(idToo: Bool) {
        forgetMembership(idToo: idToo)
        isLost = !owned.isEmpty
        guard departure == nil else { return }
        mustRejoin = true
        phase = .preparing
    }

    mutating func pause(_ now: Instant) {
        phase = .pausing(until: now + pauses.next())
    }
}
