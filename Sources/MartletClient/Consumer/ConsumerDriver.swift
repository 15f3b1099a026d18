import KafkaProtocol
import Logging
import Metrics
import NIOCore
import Synchronization

/// Carries out what the consumer's core decides: one event loop on which all its connections live, and from which the
/// waiting application is woken. Everything here but `wake` runs on that loop.
final class ConsumerDriver: @unchecked Sendable {
    typealias CommittedOffsets =
        @Sendable ([TopicPartition]) async throws(ClientError) -> [TopicPartition: ConsumedOffset]

    /// The core and the application's side of it, under the consumer's one lock.
    struct Shared {
        var core: ConsumerCore
        var application = ApplicationState()
        /// nil without a group.
        var committedOffsets: CommittedOffsets?
    }

    let shared: Mutex<Shared>
    let cluster: Cluster
    let loop: any EventLoop
    let logger: Logger
    let configuration: ConsumerConfiguration
    let metrics: ConsumerMetrics
    private var connections: [Int32: (number: Int, connection: BrokerConnection, version: Int16)] = [:]
    private var timer: Scheduled<Void>?
    private var timerDue: ContinuousClock.Instant?
    private let clock = ContinuousClock()
    private var isClosed = false
    private var isStepping = false
    private var mustStepAgain = false

    init(cluster: Cluster, configuration: ConsumerConfiguration, logger: Logger) {
        self.cluster = cluster
        self.configuration = configuration
        self.logger = logger
        metrics = ConsumerMetrics(
            clientId: configuration.clientId, factory: configuration.metricsFactory ?? MetricsSystem.factory)
        loop = (configuration.executor ?? ClientExecutor()).loop
        var generator = SystemRandomNumberGenerator()
        shared = Mutex(Shared(core: ConsumerCore(configuration: configuration, seed: generator.next())))
    }

    /// From any thread: has the loop call `step`.
    func wake() {
        loop.execute { self.step() }
    }

    /// Changes the core from any thread, and has done what follows from it.
    func change<Value: Sendable, Failure: Error>(
        _ body: (inout Shared) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let (result, mustStep, waiter) = shared.withLock {
            shared -> (Result<Value, Failure>, Bool, CheckedContinuation<Void, Never>?) in
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try body(&shared))
            } catch {
                result = .failure(error)
            }
            return (result, shared.core.needsStep, shared.takeReadyWaiter())
        }
        waiter?.resume()
        if mustStep { wake() }
        return try result.get()
    }

    private func step() {
        guard !isStepping else {
            mustStepAgain = true
            return
        }
        isStepping = true
        defer { isStepping = false }
        repeat {
            mustStepAgain = false
            takeStep()
        } while mustStepAgain || shared.withLock { $0.core.needsStep }
    }

    private func takeStep() {
        let now = clock.now
        let (actions, waiter) = shared.withLock { ($0.core.step(now: now), $0.takeReadyWaiter()) }
        // First, so that the application works while the rest is done.
        waiter?.resume()
        for note in actions.notes {
            logger.info("\(note.event)", metadata: ["partition": "\(note.partition)", "detail": "\(note.detail)"])
        }
        if isClosed { return }
        for plan in actions.fetches { fetch(plan) }
        for (node, number) in actions.connects { connect(to: node, number: number) }
        for question in actions.questions { ask(question) }
        if !actions.committed.isEmpty { askForCommitted(actions.committed) }
        if let topics = actions.metadata { askForMetadata(topics) }
        schedule(actions.nextStep, now: now)
    }

    /// Sees to it that `step` is called at `due`. A timer that is earlier stays: the step that it brings plans anew.
    private func schedule(_ due: ContinuousClock.Instant?, now: ContinuousClock.Instant) {
        guard let due, !isClosed else { return }
        if let timerDue, timerDue <= due { return }
        timer?.cancel()
        timerDue = due
        timer = loop.scheduleTask(in: TimeAmount(max(.zero, now.duration(to: due)))) {
            self.timer = nil
            self.timerDue = nil
            self.step()
        }
    }

    private func update(_ change: (inout ConsumerCore, ContinuousClock.Instant) -> Void) {
        let now = clock.now
        let waiter = shared.withLock { shared in
            change(&shared.core, now)
            return shared.takeReadyWaiter()
        }
        waiter?.resume()
        step()
    }

    // MARK: Fetches

    private func fetch(_ plan: FetchPlan) {
        guard let (number, connection, newest) = connections[plan.node], number == plan.connection else {
            let error = ClientError(.connectionLost, "the connection to broker \(plan.node) has ended")
            return update { core, now in core.didLose(plan, error, now: now) }
        }
        // From version 13 on topics go by id.
        let version = plan.usesIds ? newest : min(newest, 12)
        do throws(ClientError) {
            let frame = try plan.frame(configuration, version: version)
            let reply = FetchReceiver(plan: plan, version: version, driver: self, sent: clock.now)
            let outbound = OutboundRequest(
                frame: frame, timeout: TimeAmount(configuration.requestTimeout + plan.maximumWait), reply: reply)
            connection.channel.writeAndFlush(outbound).whenFailure { error in
                reply.complete(
                    .failure(ClientError(.connectionLost, "\(connection.address) ended the connection (\(error))")))
            }
        } catch {
            update { core, now in core.didLose(plan, error, now: now) }
        }
    }

    func didReceive(
        _ result: Result<FetchReply, ClientError>, for plan: FetchPlan, sent: ContinuousClock.Instant
    ) {
        switch result {
        case .success(let reply):
            metrics.fetched(after: clock.now - sent, isLost: false)
            update { core, now in core.didReceive(reply, for: plan, now: now) }
        case .failure(let error):
            metrics.fetched(after: clock.now - sent, isLost: true)
            logger.debug("consumer.fetch.lost", metadata: ["broker": "\(plan.node)", "error": "\(error)"])
            // Its bytes cannot be trusted any more, or are too late.
            if let (number, connection, _) = connections[plan.node], number == plan.connection { connection.close() }
            update { core, now in core.didLose(plan, error, now: now) }
        }
    }

    // MARK: Connections

    private func connect(to node: Int32, number: Int) {
        let (cluster, loop) = (cluster, loop)
        Task {
            do throws(ClientError) {
                let connection = try await cluster.ownConnection(to: node, on: loop)
                loop.execute { self.didConnect(connection, to: node, number: number) }
            } catch {
                loop.execute {
                    self.logger.debug("consumer.connect.failed", metadata: ["broker": "\(node)", "error": "\(error)"])
                    self.update { core, now in core.disconnect(node, connection: number, now: now) }
                }
            }
        }
    }

    private func didConnect(_ connection: BrokerConnection, to node: Int32, number: Int) {
        guard !isClosed else { return connection.close() }
        guard let version = connection.version(of: FetchRequest.self) else {
            connection.close()
            let error = ClientError(.unsupportedVersion, "\(connection.address) does not know Fetch as this client")
            return update { core, _ in core.end(error.fatal()) }
        }
        // What later versions add is for followers.
        connections[node] = (number, connection, min(version, 17))
        connection.channel.closeFuture.whenComplete { _ in
            if self.connections[node]?.number == number { self.connections[node] = nil }
            self.update { core, now in core.disconnect(node, connection: number, now: now) }
        }
        update { core, _ in core.didConnect(node, connection: number) }
    }

    // MARK: Control requests

    private func askForMetadata(_ topics: [String]) {
        let (cluster, logger) = (cluster, logger)
        let create = configuration.allowsAutoTopicCreation
        Task {
            let answer: Result<MetadataResponse, ClientError>
            do throws(ClientError) {
                answer = .success(try await cluster.refreshMetadata(of: topics, allowsAutoTopicCreation: create))
            } catch {
                logger.warning("consumer.metadata.failed", metadata: ["error": "\(error)"])
                answer = .failure(error)
            }
            self.loop.execute { self.update { core, now in core.didLearn(answer, now: now) } }
        }
    }

    private func askForCommitted(_ partitions: [(reference: PartitionReference, name: TopicPartition)]) {
        let committedOffsets = shared.withLock { $0.committedOffsets }
        Task {
            let answer: Result<[TopicPartition: ConsumedOffset], ClientError>
            do throws(ClientError) {
                answer = .success(try await committedOffsets?(partitions.map(\.name)) ?? [:])
            } catch {
                self.logger.warning("consumer.committed.failed", metadata: ["error": "\(error)"])
                answer = .failure(error)
            }
            self.loop.execute {
                self.update { core, now in core.didLearnCommitted(answer, of: partitions, now: now) }
            }
        }
    }

    private func ask(_ question: OffsetQuestion) {
        let (cluster, committedOnly) = (cluster, configuration.isolationLevel == .readCommitted)
        Task {
            let answer: Result<[OffsetAnswer], ClientError>
            do throws(ClientError) {
                let connection = try await cluster.connection(.node(question.node))
                answer = .success(try await question.ask(connection, committedOnly: committedOnly))
            } catch {
                self.logger.debug("consumer.offsets.failed", metadata: ["error": "\(error)"])
                answer = .failure(error)
            }
            self.loop.execute { self.update { core, now in core.didAnswer(question, answer, now: now) } }
        }
    }

    /// Ends the connections; nothing is fetched any more.
    func close() {
        isClosed = true
        timer?.cancel()
        timer = nil
        for (_, connection, _) in connections.values { connection.close() }
        step()
    }
}
