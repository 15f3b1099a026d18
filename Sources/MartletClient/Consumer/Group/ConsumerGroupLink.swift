import Logging
import NIOCore
import Synchronization

/// Between a consumer and its group: partitions that come and go, commits, and the times at which they are due.
final class ConsumerGroupLink: GroupMembershipDelegate {
    /// The membership waits for the listener, so that the listener cannot wait for the membership's end.
    @TaskLocal static var isInListener = false

    private struct State {
        weak var consumer: Consumer?
        var timers: [RepeatedTask] = []
        /// How far the records of the batch at hand were handed out at the last look.
        var lastHandedOut: Int64 = -1
        /// Those who wait for the membership's end, and what was subscribed to after the last of them.
        var leavers = 0
        var subscriptionAfter: TopicSubscription?
    }

    let groupId: String
    let commits: CommitQueue
    private let driver: ConsumerDriver
    private let configuration: ConsumerConfiguration
    private let logger: Logger
    private let state = Mutex(State())

    init(groupId: String, driver: ConsumerDriver, logger: Logger) {
        self.groupId = groupId
        self.driver = driver
        configuration = driver.configuration
        self.logger = logger
        let (cluster, current) = (driver.cluster, CurrentMembership())
        self.current = current
        commits = CommitQueue(logger: logger, metrics: driver.metrics) { offsets throws(ClientError) in
            if let membership = current.membership {
                try await membership.commit(offsets)
            } else {
                // One that is assigned by hand is no member, and commits as an operator does.
                let results = try await Admin(cluster: cluster).alterOffsets(offsets, of: groupId)
                for result in results.values { try result.get() }
            }
        }
    }

    /// The membership as commits see it.
    private final class CurrentMembership: Sendable {
        private let value = Mutex<GroupMembership?>(nil)
        var membership: GroupMembership? {
            get { value.withLock { $0 } }
            set { value.withLock { $0 = newValue } }
        }
    }

    private let current: CurrentMembership

    var membership: GroupMembership? { current.membership }

    /// Throws `transactionAborted` when the application holds records for which this consumer may not speak any more.
    var metadata: ConsumerGroupMetadata {
        get throws(ClientError) {
            guard let membership else { return ConsumerGroupMetadata(groupId: groupId) }
            // Before the look whether records were lost: a member joins again only after they were.
            let metadata = membership.metadata
            guard metadata.generation >= 0, !hasLostRecords else {
                throw ClientError(
                    .transactionAborted, "group '\(groupId)' has given this consumer up, and its partitions to others",
                    nextStep: "abort the transaction and ask for records again")
            }
            return metadata
        }
    }

    /// Throws `commitFailed` in the same case.
    func checkHoldsRecords() throws(ClientError) {
        guard membership == nil || !hasLostRecords else {
            throw ClientError(
                .commitFailed, "group '\(groupId)': not committed, because the group has given this consumer up")
        }
    }

    private var hasLostRecords: Bool { driver.shared.withLock { $0.application.hasLostRecords } }

    func committed(_ partitions: [TopicPartition]) async throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        if let membership { return try await membership.committed(partitions) }
        return try await Admin(cluster: driver.cluster).committedOffsets(
            of: groupId, partitions: partitions, isForConsumer: true)
    }

    // MARK: Membership

    /// Joins, or changes what the member reads.
    func subscribe(_ subscription: TopicSubscription) {
        let mustWait = state.withLock { state in
            if state.leavers > 0 { state.subscriptionAfter = subscription }
            return state.leavers > 0
        }
        if mustWait { return }
        if let membership { return membership.update(subscription) }
        var group = GroupMembershipConfiguration(groupId: groupId)
        group.groupInstanceId = configuration.groupInstanceId
        group.groupProtocol = configuration.groupProtocol
        group.strategies = configuration.partitionAssignmentStrategies
        group.remoteAssignor = configuration.remoteAssignor
        group.rackId = configuration.clientRack
        group.sessionTimeout = configuration.sessionTimeout
        group.heartbeatInterval = configuration.heartbeatInterval
        group.rebalanceTimeout = configuration.maximumPollInterval
        group.metadataMaximumAge = configuration.metadataMaximumAge
        group.excludesInternalTopics = configuration.excludesInternalTopics
        let membership = GroupMembership(
            cluster: driver.cluster, configuration: group, delegate: self, logger: logger)
        current.membership = membership
        driver.shared.withLock { $0.application.lastAsked = .now }
        membership.start(subscription)
    }

    /// From now on a subscription is for another membership, which begins when this one is over. `leave` must follow.
    func willLeave() {
        state.withLock { state in
            state.leavers += 1
            state.subscriptionAfter = nil
        }
    }

    /// Gives the partitions up and leaves.
    func leave() async throws(ClientError) {
        defer { didLeave() }
        guard let membership else { return }
        try await membership.leave()
    }

    private func didLeave() {
        let next = state.withLock { state -> TopicSubscription? in
            state.leavers -= 1
            guard state.leavers == 0 else { return nil }
            current.membership = nil
            defer { state.subscriptionAfter = nil }
            return state.subscriptionAfter
        }
        if let next, !driver.shared.withLock({ $0.application.isClosing }) { subscribe(next) }
    }

    // MARK: Times

    /// Begins to commit by itself and to look whether the application still asks for records.
    func start(_ consumer: Consumer) {
        var timers: [RepeatedTask] = []
        if configuration.isAutoCommitEnabled {
            let interval = TimeAmount(configuration.autoCommitInterval)
            timers.append(
                driver.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
                    self?.commitDone()
                })
        }
        let interval = TimeAmount(min(.seconds(1), configuration.maximumPollInterval / 10))
        timers.append(
            driver.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
                self?.checkApplication()
            })
        state.withLock { state in
            state.consumer = consumer
            state.timers = timers
        }
    }

    func stop() {
        let timers = state.withLock { state in
            defer { state.timers = [] }
            return state.timers
        }
        for timer in timers { timer.cancel() }
    }

    private func commitDone() {
        commits.commitInBackground(commits.news(in: driver.shared.withLock { $0.done }))
    }

    /// An application that does not ask for records for too long gives its partitions up.
    private func checkApplication() {
        guard let membership else { return }
        let (isLate, gate) = driver.shared.withLock { shared in
            let handedOut = shared.application.current?.handedOut.load(ordering: .relaxed) ?? -1
            let isActive = state.withLock { state in
                defer { state.lastHandedOut = handedOut }
                return handedOut != state.lastHandedOut
            }
            if isActive { shared.application.lastAsked = .now }
            let late = ContinuousClock.now - shared.application.lastAsked > configuration.maximumPollInterval
            guard late, !shared.application.isAside else {
                return (false, [] as [CheckedContinuation<Void, Never>])
            }
            shared.application.hasTimedOut = true
            return (true, shared.application.takeGate())
        }
        for continuation in gate { continuation.resume() }
        guard isLate else { return }
        logger.warning(
            "consumer.poll.late",
            metadata: ["group": "\(groupId)", "max.poll.interval": "\(configuration.maximumPollInterval)"])
        Task {
            await membership.pollTimedOut()
            // It may have asked before the membership knew that it was late.
            if !driver.shared.withLock({ $0.application.hasTimedOut }) { membership.polled() }
        }
    }

    // MARK: Partitions

    func partitionsRevoked(_ partitions: [TopicPartition], lost: Bool) async {
        driver.change { shared in
            if lost, shared.applicationHoldsRecords, !shared.application.isInside {
                shared.application.hasLostRecords = true
            }
            shared.core.setLeaving(partitions)
        }
        await hold(waits: !lost)
        let consumer = state.withLock { $0.consumer }
        if !lost {
            if configuration.isAutoCommitEnabled {
                let leaving = Set(partitions)
                let done = driver.shared.withLock { $0.done }.filter { leaving.contains($0.key) }
                do throws(ClientError) {
                    try await commits.commit(commits.news(in: done))
                } catch {
                    logger.warning(
                        "consumer.revoked.uncommitted", metadata: ["partitions": "\(partitions)", "error": "\(error)"])
                }
            }
            await commits.drain()
        }
        if let listener = configuration.rebalanceListener, let consumer, !partitions.isEmpty {
            await Self.$isInListener.withValue(true) {
                if lost {
                    await listener.partitionsLost(partitions, from: consumer)
                } else {
                    await listener.partitionsRevoked(partitions, from: consumer)
                }
            }
        }
        commits.forget(partitions)
        driver.change { $0.core.remove(partitions) }
        release()
    }

    func partitionsAssigned(_ added: [TopicPartition], all: [TopicPartition]) async {
        driver.metrics.rebalanced()
        let listener = added.isEmpty ? nil : configuration.rebalanceListener
        // First, so that nothing of them is handed out before the listener has had its say.
        if listener != nil { await hold(waits: true) }
        let keep = Set(all)
        driver.change { shared in
            shared.core.reportsUnknown = false
            shared.core.remove(shared.core.assignment.filter { !keep.contains($0) })
            for partition in all { shared.core.add(partition, .committed) }
        }
        guard let listener else { return }
        if let consumer = state.withLock({ $0.consumer }) {
            await Self.$isInListener.withValue(true) { await listener.partitionsAssigned(added, to: consumer) }
        }
        release()
    }

    func membershipFailed(_ error: ClientError) async {
        driver.change { $0.core.end(error.fatal()) }
    }

    /// Nothing is handed out until `release`. Waits until the application asks for records, so that it is not in the midst of
    /// some; not when it has none and nobody else is to be called.
    private func hold(waits: Bool) async {
        await withCheckedContinuation { continuation in
            let mustWait = driver.shared.withLock { shared in
                shared.application.holders += 1
                shared.interruptCurrent()
                let concernsIt = shared.applicationHoldsRecords || configuration.rebalanceListener != nil
                guard waits, concernsIt, !shared.application.isAside else { return false }
                shared.application.nextGateNumber += 1
                shared.application.gate[shared.application.nextGateNumber] = continuation
                return true
            }
            if !mustWait { continuation.resume() }
        }
    }

    private func release() {
        driver.change { $0.application.holders -= 1 }
    }
}
