import Logging
import NIOCore
import Synchronization

/// Consumes records: as a member of a group (`subscribe`) or of partitions that the application names (`assign`). Fetches
/// run ahead while the application works, up to `prefetchMemory` bytes.
///
/// One loop at a time goes over `batches` or `records`; everything else may be called from any task. What an application
/// was given it is done with when it asks for the next: with `batches` and `nextBatches` the whole batches, with
/// `records` the record. That, and no more, is what is committed by itself, so that after a crash records may come again
/// but none is missing.
///
/// While a group divides its partitions anew, a partition is taken away only when the application asks for records, or has
/// not asked for `maximumPollInterval`; after that time the consumer leaves the group, and joins again when it is asked.
///
/// When the task that asks for records is cancelled, or its service shut down gracefully, the sequences end; what was not
/// handed out comes the next time.
public final class Consumer: Sendable {
    enum Source: Equatable {
        case nothing
        case assigned
        case subscribed(TopicSubscription)
    }

    let driver: ConsumerDriver
    let configuration: ConsumerConfiguration
    let ownsCluster: Bool
    let preparation: BatchPreparation
    /// nil without a group.
    let link: ConsumerGroupLink?
    let source = Mutex(Source.nothing)
    /// Completes when the consumer is closed.
    let closing = Mutex<Task<Void, Never>?>(nil)

    /// Connects when there is something to consume. Throws `invalidArgument` when the configuration contradicts itself.
    public convenience init(
        configuration: ConsumerConfiguration, logger: Logger = Logger(label: "martlet.consumer")
    ) throws(ClientError) {
        if let fault = configuration.fault() { throw fault }
        var options = try ClientOptions(
            clientId: configuration.clientId, security: configuration.security,
            connectTimeout: configuration.connectTimeout,
            requestTimeout: configuration.requestTimeout, operationTimeout: configuration.apiTimeout,
            backoff: Backoff(initial: configuration.retryBackoff, maximum: configuration.maximumRetryBackoff))
        // A reply has one batch more than it may have at most.
        options.maximumReplyBytes = max(options.maximumReplyBytes, 2 * configuration.fetchMaximumBytes)
        try self.init(
            cluster: Cluster(bootstrap: configuration.bootstrapServers, options: options), ownsCluster: true,
            configuration: configuration, logger: logger)
    }

    /// A consumer over connections that others use too.
    package init(
        cluster: Cluster, ownsCluster: Bool = false, configuration: ConsumerConfiguration,
        logger: Logger = Logger(label: "martlet.consumer")
    ) throws(ClientError) {
        if let fault = configuration.fault() { throw fault }
        self.configuration = configuration
        self.ownsCluster = ownsCluster
        preparation = BatchPreparation(
            checksCRCs: configuration.checksCRCs, decompressedLimit: configuration.maximumDecompressedBatchSize)
        let driver = ConsumerDriver(cluster: cluster, configuration: configuration, logger: logger)
        self.driver = driver
        link = configuration.groupId.map { ConsumerGroupLink(groupId: $0, driver: driver, logger: logger) }
        if let link {
            driver.shared.withLock { shared in
                shared.committedOffsets = { [weak link] partitions throws(ClientError) in
                    guard let link else { throw ClientError(.closed, "the consumer is closed") }
                    let offsets = try await link.committed(partitions)
                    link.commits.learn(offsets)
                    return offsets
                }
            }
            link.start(self)
        }
    }

    deinit {
        // Whoever forgets to close it leaves its group late, but keeps no connection.
        let (driver, link, ownsCluster) = (driver, link, ownsCluster)
        guard closing.withLock({ $0 }) == nil else { return }
        link?.stop()
        driver.change { shared in
            shared.application.isClosing = true
            shared.core.end(ClientError(.closed, "the consumer was dropped before it was closed"))
        }
        Task { await Consumer.end(driver, link, ownsCluster, ContinuousClock.now + .seconds(5)) }
    }

    var membership: GroupMembership? { link?.membership }

    // MARK: What is consumed

    /// Consumes these topics as a member of the group, in place of those before. Throws `invalidState` without a `groupId` or
    /// with partitions assigned by hand.
    public func subscribe(to topics: some Sequence<String>) throws(ClientError) {
        let topics = Set(topics)
        guard !topics.isEmpty, !topics.contains("") else {
            throw ClientError(.invalidArgument, "name the topics to subscribe to")
        }
        try subscribe(.topics(topics))
    }

    /// Consumes every topic whose whole name matches the regular expression, also those that are made later.
    public func subscribe(matching pattern: String) throws(ClientError) {
        guard !pattern.isEmpty else { throw ClientError(.invalidArgument, "the pattern is empty") }
        try subscribe(.pattern(pattern))
    }

    private func subscribe(_ subscription: TopicSubscription) throws(ClientError) {
        try checkOpen()
        guard let link else {
            throw ClientError(.invalidState, "a subscription needs a group", nextStep: "set groupId (group.id)")
        }
        try source.withLock { (source) throws(ClientError) in
            if source == .assigned {
                throw ClientError(
                    .invalidState, "partitions are assigned by hand", nextStep: "call unsubscribe() before")
            }
            source = .subscribed(subscription)
            // Under the lock, as the beginning of the end of a subscription: they take effect in the same order.
            link.subscribe(subscription)
        }
    }

    /// Consumes these partitions, in place of those before; those that stay keep their position. Throws `invalidState` with a
    /// subscription.
    public func assign(
        _ partitions: some Sequence<TopicPartition>, from start: ConsumerPosition = .committed
    ) throws(ClientError) {
        try start.check()
        try assign(Dictionary(partitions.map { ($0, start) }, uniquingKeysWith: { first, _ in first }), moves: false)
    }

    /// Consumes these partitions from the given positions, in place of those before.
    public func assign(_ starts: [TopicPartition: ConsumerPosition]) throws(ClientError) {
        for start in starts.values { try start.check() }
        try assign(starts, moves: true)
    }

    private func assign(_ starts: [TopicPartition: ConsumerPosition], moves: Bool) throws(ClientError) {
        try checkOpen()
        if let wrong = starts.keys.first(where: { $0.topic.isEmpty || $0.partition < 0 }) {
            throw ClientError(.invalidArgument, "'\(wrong)' is not a partition")
        }
        try source.withLock { (source) throws(ClientError) in
            if case .subscribed = source {
                throw ClientError(.invalidState, "topics are subscribed", nextStep: "call unsubscribe() before")
            }
            source = starts.isEmpty ? .nothing : .assigned
        }
        if configuration.isAutoCommitEnabled, let link {
            link.commits.commitInBackground(link.commits.news(in: driver.shared.withLock { $0.done }))
        }
        driver.change { shared in
            shared.core.reportsUnknown = true
            shared.core.remove(shared.core.assignment.filter { starts[$0] == nil })
            for (partition, start) in starts.sorted(by: { $0.key < $1.key }) {
                if let slot = shared.core.index[partition] {
                    if moves { shared.core.seek(slot, start.start) }
                } else {
                    shared.core.add(partition, start.start)
                }
            }
            shared.interruptCurrent()
        }
    }

    /// Ends the subscription, by leaving the group, or the assignment by hand. What the application is done with is
    /// committed before when that happens by itself. Who subscribes again meanwhile joins after that. In a
    /// `RebalanceListener` it returns before the group is left.
    public func unsubscribe() async throws(ClientError) {
        try checkOpen()
        let old = source.withLock { source in
            defer { source = .nothing }
            if case .subscribed = source { link?.willLeave() }
            return source
        }
        if case .subscribed = old, let link {
            let gate = driver.shared.withLock { shared in
                shared.application.isUnsubscribing = true
                return shared.application.takeGate()
            }
            for continuation in gate { continuation.resume() }
            guard !ConsumerGroupLink.isInListener else {
                Task.detached { [driver] in
                    do throws(ClientError) {
                        try await link.leave()
                    } catch {
                        driver.logger.warning("consumer.leave.failed", metadata: ["error": "\(error)"])
                    }
                    driver.shared.withLock { $0.application.isUnsubscribing = false }
                }
                return
            }
            defer { driver.shared.withLock { $0.application.isUnsubscribing = false } }
            try await link.leave()
        } else {
            if configuration.isAutoCommitEnabled, let link {
                link.commits.commitInBackground(link.commits.news(in: driver.shared.withLock { $0.done }))
            }
            driver.change { shared in
                shared.core.remove(shared.core.assignment)
                shared.interruptCurrent()
            }
        }
    }

    /// The topics of the subscription; empty with a pattern or without a subscription.
    public var subscription: Set<String> {
        if case .subscribed(.topics(let topics)) = source.withLock({ $0 }) { topics } else { [] }
    }

    /// The partitions that are consumed now.
    public var assignment: Set<TopicPartition> { driver.shared.withLock { Set($0.core.index.keys) } }

    func checkOpen() throws(ClientError) {
        if driver.shared.withLock({ $0.application.isClosing }) {
            throw ClientError(.closed, "the consumer is closed")
        }
    }
}
