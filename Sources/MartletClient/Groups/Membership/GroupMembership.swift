import KafkaProtocol
import Logging
import Synchronization

/// A consumer's membership in a group: joins in the background, stays, joins again, and tells its delegate which partitions
/// come and go. A state machine decides (`MembershipMachine`, one for each group protocol); this carries it out.
///
/// A `Cluster` has one membership at most: a join holds the connection that it is sent on until the whole group has joined.
package final class GroupMembership: Sendable {
    struct State {
        var machine: any MembershipMachine
        weak var delegate: (any GroupMembershipDelegate)?
        var timer: Task<Void, Never>?
        var timerDue: ContinuousClock.Instant?
        /// Requests on their way, by number.
        var requests: [Int: Task<Void, Never>] = [:]
        /// The last of them for whose reply the broker waits for other members.
        var lastRebalanceRequest: Int?
        /// Who waits for the replies to commits.
        var commits: [Int: CheckedContinuation<Result<OffsetCommitResponse, ClientError>, Never>] = [:]
        var lastCommit = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
        /// How often partitions were lost to others.
        var losses = 0
        /// From then on nothing more is waited for.
        var leaveDeadline: ContinuousClock.Instant?
        var leaveError: ClientError?
    }

    let cluster: Cluster
    let configuration: GroupMembershipConfiguration
    let logger: Logger
    let state: Mutex<State>

    /// `delegate` is held weakly; a membership whose delegate is gone leaves.
    package init(
        cluster: Cluster, configuration: GroupMembershipConfiguration, delegate: any GroupMembershipDelegate,
        logger: Logger
    ) {
        self.cluster = cluster
        self.configuration = configuration
        var logger = logger
        logger[metadataKey: "group"] = "\(configuration.groupId)"
        self.logger = logger
        let backoff = cluster.options.backoff
        var generator = SystemRandomNumberGenerator()
        let seed = generator.next()
        let machine: any MembershipMachine =
            switch configuration.groupProtocol {
            case .classic: ClassicMembership(configuration, backoff: backoff, seed: seed)
            case .consumer:
                ConsumerMembership(configuration, memberId: Uuid.random().description, backoff: backoff, seed: seed)
            }
        state = Mutex(State(machine: machine, delegate: delegate))
    }

    deinit {
        state.withLock { $0.timer?.cancel() }
    }

    /// Begins to join, in the background.
    package func start(_ subscription: TopicSubscription) {
        handle(.subscribed(subscription))
    }

    /// Changes what the member reads.
    package func update(_ subscription: TopicSubscription) {
        handle(.subscribed(subscription))
    }

    /// Who the member is now, for transactions.
    package var metadata: ConsumerGroupMetadata {
        let identity = identity
        return ConsumerGroupMetadata(
            groupId: configuration.groupId, generation: identity.epoch, memberId: identity.memberId,
            groupInstanceId: configuration.groupInstanceId)
    }

    var identity: MemberIdentity { state.withLock { $0.machine.identity } }

    /// The application has not asked for records for `max.poll.interval.ms`: the member gives way to the others. Returns
    /// when the delegate has given its partitions up.
    package func pollTimedOut() async {
        await handleAndWait(.pollTimedOut)
    }

    /// It asks again: a member that had left for that joins again.
    package func polled() {
        handle(.polled)
    }

    /// Has the group divide the partitions anew. With the new protocol the coordinator decides when, so that this only asks
    /// what there is.
    package func enforceRebalance() {
        handle(.rebalanceWanted)
    }

    /// Gives the partitions up and leaves, so that the others get them at once; a static member does not tell a classic group,
    /// which waits for it. Waits for the delegate, and for the coordinator a few seconds at most. Throws when the coordinator
    /// could not be told; the member is out nevertheless, for the group at the end of its session.
    package func leave() async throws(ClientError) {
        let limit = ContinuousClock.now + configuration.leaveTimeout
        let commits = state.withLock { state in
            state.leaveDeadline = state.leaveDeadline ?? limit
            // Of a goodbye before, after which the member had joined again.
            state.leaveError = nil
            return Array(state.commits.keys)
        }
        for commit in commits { cutOff(commit, at: limit) }
        await handleAndWait(.leave)
        let (requests, isJoining, error) = state.withLock { state in
            defer { state.requests = [:] }
            let isJoining = state.lastRebalanceRequest.map { state.requests[$0] != nil } ?? false
            return (state.requests, isJoining, state.leaveError)
        }
        for request in requests.values { request.cancel() }
        // Whoever joins next on this connection would wait behind it.
        if isJoining { await cluster.endConnection(route, for: .rebalance) }
        if let error { throw error }
    }

    /// False when the task was cancelled.
    static func sleep(until time: ContinuousClock.Instant) async -> Bool {
        do {
            try await Task.sleep(until: time, clock: .continuous)
            return true
        } catch {
            return false
        }
    }

    // MARK: Events

    func handle(_ event: MembershipEvent) {
        let actions = state.withLock { state in decide(event, &state) }
        for action in actions { perform(action) }
    }

    private func handleAndWait(_ event: MembershipEvent) async {
        await withCheckedContinuation { continuation in
            let actions = state.withLock { state in
                state.waiters.append(continuation)
                return decide(event, &state)
            }
            for action in actions { perform(action) }
        }
    }

    private func decide(_ event: MembershipEvent, _ state: inout State) -> [MembershipAction] {
        let actions = state.machine.handle(event, at: .now)
        let due = state.machine.deadline
        guard due != state.timerDue || state.timer == nil else { return actions }
        state.timer?.cancel()
        state.timer = nil
        state.timerDue = due
        if let due {
            state.timer = Task { [weak self] in
                if await Self.sleep(until: due) { self?.timeReached(due) }
            }
        }
        return actions
    }

    private func timeReached(_ due: ContinuousClock.Instant) {
        state.withLock { state in
            // Another one may have taken its place.
            guard state.timerDue == due else { return }
            state.timer = nil
            state.timerDue = nil
        }
        handle(.timeReached)
    }
}
