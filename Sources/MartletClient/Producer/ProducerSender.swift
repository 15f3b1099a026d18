import KafkaProtocol
import Logging
import Metrics
import NIOCore
import RecordFormat
import Synchronization

/// Carries out what the producer's core decides: one event loop on which all its connections live, so that nothing
/// between a batch and its socket changes the thread. Everything here but `wake` runs on that loop.
final class ProducerSender: @unchecked Sendable {
    /// The core and who waits for its memory, under the producer's one lock.
    struct Shared {
        var core: ProducerCore
        var memoryWaiters = MemoryQueue()
        /// One of them has given up, so that the next one may have room.
        var mustServe = false
    }

    let shared: Mutex<Shared>
    let cluster: Cluster
    let loop: any EventLoop
    let logger: Logger
    private let configuration: ProducerConfiguration
    private let coordinator: TransactionCoordinatorClient?
    /// The request that adds partitions to a transaction.
    private let adding = Mutex<Task<Void, Never>?>(nil)
    private var connections: [Int32: (number: Int, connection: BrokerConnection, encoder: ProduceRequestEncoder)] = [:]
    private var timer: Scheduled<Void>?
    private var timerDue: ContinuousClock.Instant?
    private let metrics: ProducerMetrics
    private let compressor = Compressor()
    private let scratch = ScratchBuffer()
    private let clock = ContinuousClock()
    private var isClosed = false
    private var isStepping = false
    private var mustStepAgain = false

    init(
        cluster: Cluster, configuration: ProducerConfiguration, coordinator: TransactionCoordinatorClient?,
        logger: Logger
    ) {
        self.cluster = cluster
        self.coordinator = coordinator
        self.configuration = configuration
        self.logger = logger
        metrics = ProducerMetrics(
            clientId: configuration.clientId, factory: configuration.metricsFactory ?? MetricsSystem.factory)
        loop = (configuration.executor ?? ClientExecutor()).loop
        shared = Mutex(
            Shared(
                core: ProducerCore(configuration: configuration, seed: SystemRandomNumberGenerator.seed())))
    }

    /// From any thread: has the loop call `step`.
    func wake() {
        loop.execute { self.step() }
    }

    /// Looks at what waits and does what is to be done now. What that brings about at once, such as a request that the
    /// system has taken, leads to another round and not to one inside of this: requests go out in the order in which they
    /// were decided.
    func step() {
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
        let (actions, waiters, counts, buffered) = shared.withLock { shared in
            let actions = shared.core.step(now: now)
            let mustServe = actions.freedMemory || shared.mustServe
            let waiters =
                mustServe ? shared.memoryWaiters.serve(&shared.core, hasFreed: actions.freedMemory) : []
            shared.mustServe = false
            return (actions, waiters, shared.core.counts, shared.core.bufferedBytes)
        }
        // First, so that nobody waits while batches are compressed.
        for (completion, outcome) in actions.completions { completion.complete(outcome) }
        for waiter in waiters { waiter.end() }
        for request in actions.requests { send(request) }
        for (node, number) in actions.connects { connect(to: node, number: number) }
        if let topics = actions.metadata { askForMetadata(topics) }
        if actions.needsIdentity { askForIdentity() }
        if !actions.addPartitions.isEmpty { addToTransaction(actions.addPartitions) }
        schedule(actions.nextStep, now: now)
        metrics.report(acknowledged: counts.acknowledged, failed: counts.failed, buffered: buffered)
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

    private func update(_ change: (inout ProducerCore, ContinuousClock.Instant) -> Void) {
        let now = clock.now
        shared.withLock { change(&$0.core, now) }
        step()
    }

    // MARK: Requests

    private func send(_ planned: BatchRequest) {
        let isTransactional = configuration.transactionalId != nil
        let batches = planned.batches.filter { batch in
            do throws(CompressionError) {
                try batch.seal(
                    compression: configuration.compression, isTransactional: isTransactional, compressor: compressor,
                    scratch: scratch)
                return true
            } catch {
                let failure = ClientError(
                    .invalidArgument, "cannot compress a batch with \(configuration.compression.codec.name): \(error)")
                shared.withLock {
                    $0.core.didFailToSeal(batch, failure)
                    $0.core.needsStep = true
                }
                return false
            }
        }
        let request = planned.with(batches)
        guard let (number, connection, ready) = connections[request.node], number == request.connection else {
            let error = ClientError(.connectionLost, "the connection to broker \(request.node) has ended")
            return update { core, now in core.didLose(request, error, now: now) }
        }
        var encoder = ready
        encoder.version = min(encoder.version, request.maximumVersion)
        var parts = encoder.encode(
            request.batches.map { ($0.completion.topic, $0.completion.partition, $0.buffer) })
        let frame = parts.removeFirst()
        let needsReply = configuration.acknowledgements != .none
        let reply = ProduceReply(request: request, version: encoder.version, sender: self, sent: clock.now)
        let outbound = OutboundRequest(
            frame: frame, rest: parts, timeout: TimeAmount(configuration.requestTimeout),
            reply: needsReply ? reply : nil)
        connection.channel.writeAndFlush(outbound).whenComplete { result in
            switch result {
            case .failure(let error):
                reply.complete(
                    .failure(ClientError(.connectionLost, "\(connection.address) ended the connection (\(error))")))
            case .success:
                if !needsReply, reply.completeWithoutReply() {
                    self.update { core, _ in core.didSendWithoutReply(request) }
                }
            }
        }
        // What is written at once, as is usual, needs no timer.
        if !needsReply, !reply.isOver { limit(reply, to: connection.address) }
    }

    /// A broker that reads no more would keep a request without a reply for ever.
    private func limit(_ reply: ProduceReply, to address: BrokerAddress) {
        let timeout = configuration.requestTimeout
        let late = loop.scheduleTask(in: TimeAmount(timeout)) {
            reply.complete(
                .failure(
                    ClientError(
                        .timedOut, "\(address) did not take a request within \(timeout.milliseconds) ms",
                        nextStep: "check the broker's load and its log")))
        }
        reply.onEnd = { late.cancel() }
    }

    func didReceive(
        _ result: Result<[BatchResult?], ClientError>, for request: BatchRequest, throttle: Duration,
        sent: ContinuousClock.Instant
    ) {
        switch result {
        case .success(let results):
            metrics.answered(after: clock.now - sent, isLost: false)
            update { core, now in core.didReceive(results, for: request, throttle: throttle, now: now) }
        case .failure(let error):
            metrics.answered(after: clock.now - sent, isLost: true)
            logger.debug(
                "producer.request.lost", metadata: ["broker": "\(request.node)", "error": "\(error)"])
            // Its bytes cannot be trusted any more, or are too late.
            if let (number, connection, _) = connections[request.node], number == request.connection {
                connection.close()
            }
            update { core, now in core.didLose(request, error, now: now) }
        }
    }

    // MARK: Connections and control requests

    private func connect(to node: Int32, number: Int) {
        let (cluster, loop) = (cluster, loop)
        Task {
            do throws(ClientError) {
                let connection = try await cluster.ownConnection(to: node, on: loop)
                loop.execute { self.didConnect(connection, to: node, number: number) }
            } catch {
                loop.execute {
                    self.logger.debug(
                        "producer.connect.failed", metadata: ["broker": "\(node)", "error": "\(error)"])
                    self.update { core, now in core.didFailToConnect(node, connection: number, now: now) }
                }
            }
        }
    }

    private func didConnect(_ connection: BrokerConnection, to node: Int32, number: Int) {
        guard !isClosed else { return connection.close() }
        guard let version = connection.version(of: ProduceRequest.self) else {
            connection.close()
            let error = ClientError(.unsupportedVersion, "\(connection.address) does not know Produce as this client")
            return update { core, _ in core.end(error.fatal()) }
        }
        // From version 13 on topics go by id, which a recreated topic changes under a waiting batch.
        let encoder = ProduceRequestEncoder(
            clientId: configuration.clientId, transactionalId: configuration.transactionalId,
            acknowledgements: configuration.acknowledgements.rawValue,
            timeoutMilliseconds: Int32(clamping: configuration.requestTimeout.milliseconds),
            version: min(version, 12))
        connections[node] = (number, connection, encoder)
        connection.channel.closeFuture.whenComplete { _ in
            if self.connections[node]?.number == number { self.connections[node] = nil }
            self.update { core, now in core.disconnect(node, connection: number, now: now) }
        }
        update { core, _ in core.didConnect(node, connection: number) }
    }

    private func askForMetadata(_ topics: [String]) {
        let cluster = cluster
        Task {
            let answer: Result<MetadataResponse, ClientError>
            do throws(ClientError) {
                answer = .success(try await cluster.refreshMetadata(of: topics))
            } catch {
                answer = .failure(error)
            }
            self.loop.execute { self.update { core, now in core.didLearn(answer, now: now) } }
        }
    }

    private func askForIdentity() {
        let cluster = cluster
        Task {
            var request = InitProducerIdRequest()
            request.transactionalId = nil
            request.transactionTimeoutMs = Int32.max
            let answer: Result<ProducerIdentity, ClientError>
            do throws(ClientError) {
                let response = try await cluster.connection(.any).send(request)
                if let error = ClientError.from(response.errorCode, "producer id") {
                    answer = .failure(error)
                } else {
                    answer = .success(ProducerIdentity(id: response.producerId, epoch: response.producerEpoch))
                }
            } catch {
                answer = .failure(error)
            }
            self.loop.execute { self.update { core, now in core.didIdentify(answer, now: now) } }
        }
    }

    private func addToTransaction(_ partitions: [TopicPartition]) {
        guard let coordinator else { preconditionFailure("only a transactional producer asks for it") }
        let task = Task {
            var answer: Result<Void, ClientError> = .success(())
            do throws(ClientError) {
                guard let identity = self.shared.withLock({ $0.core.currentIdentity }) else { return }
                try await coordinator.add(partitions, identity)
            } catch {
                answer = .failure(error)
            }
            let taken = answer
            self.shared.withLock { $0.core.didAddPartitions(taken) }
            self.wake()
        }
        adding.withLock { $0 = task }
    }

    /// Until what the loop has asked for is answered.
    func waitForControlRequests() async {
        await withCheckedContinuation { continuation in loop.execute { continuation.resume() } }
        await adding.withLock { $0 }?.value
    }

    /// Ends the connections; what is still in flight fails.
    func close() {
        isClosed = true
        timer?.cancel()
        timer = nil
        for (_, connection, _) in connections.values { connection.close() }
        step()
    }
}

extension SystemRandomNumberGenerator {
    fileprivate static func seed() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
