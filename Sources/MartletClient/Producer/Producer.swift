import Logging
import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Produces records: in batches by partition, idempotent by default, retried until `deliveryTimeout` in an order that
/// does not change. Any task or thread may use it.
public final class Producer: Sendable {
    let sender: ProducerSender
    private let configuration: ProducerConfiguration
    let ownsCluster: Bool
    /// nil without a transactional id.
    let coordinator: TransactionCoordinatorClient?
    let isInTransaction = Mutex(false)
    /// Offsets on their way to the coordinator, for which the end of their transaction waits.
    let offsetsInProgress = PendingCalls()
    /// A transaction's end, for which `close` waits.
    let endsInProgress = PendingCalls()

    /// Connects when the first record comes. Throws `invalidArgument` when the configuration contradicts itself.
    public convenience init(
        configuration: ProducerConfiguration, logger: Logger = Logger(label: "martlet.producer")
    ) throws(ClientError) {
        if let fault = configuration.fault() { throw fault }
        let options = try ClientOptions(
            clientId: configuration.clientId, security: configuration.security,
            connectTimeout: configuration.connectTimeout,
            requestTimeout: configuration.requestTimeout, operationTimeout: configuration.maximumBlock,
            backoff: Backoff(initial: configuration.retryBackoff, maximum: configuration.maximumRetryBackoff))
        try self.init(
            cluster: Cluster(bootstrap: configuration.bootstrapServers, options: options), ownsCluster: true,
            configuration: configuration, logger: logger)
    }

    /// A producer over connections that others use too.
    package init(
        cluster: Cluster, ownsCluster: Bool = false, configuration: ProducerConfiguration,
        logger: Logger = Logger(label: "martlet.producer")
    ) throws(ClientError) {
        if let fault = configuration.fault() { throw fault }
        self.configuration = configuration
        self.ownsCluster = ownsCluster
        coordinator = configuration.transactionalId.map {
            TransactionCoordinatorClient(
                cluster: cluster, transactionalId: $0, transactionTimeout: configuration.transactionTimeout,
                timeout: configuration.maximumBlock, maximumVersion: configuration.maximumTransactionVersion)
        }
        sender = ProducerSender(
            cluster: cluster, configuration: configuration, coordinator: coordinator, logger: logger)
    }

    deinit {
        // Whoever forgets to close it loses what is not written yet, but no connection.
        let sender = sender
        sender.shared.withLock { $0.core.end(ClientError(.closed, "the producer was dropped before it was closed")) }
        sender.loop.execute { sender.close() }
    }

    // MARK: Records

    /// Puts a record into its batch and returns at once. Throws `bufferFull`, which is retriable, when `bufferMemory`
    /// bytes are on their way; `waitForMemory` waits until there is room.
    @discardableResult
    public func enqueue(_ record: ProducerRecord) throws(ClientError) -> Delivery {
        try enqueue(record, transaction: nil)
    }

    func enqueue(
        _ record: ProducerRecord, transaction: Int?, isPatient: Bool = false
    ) throws(ClientError) -> Delivery {
        try record.key.withBytes { (key) throws(ClientError) in
            try record.value.withBytes { (value) throws(ClientError) in
                try enqueue(
                    topic: record.topic, partition: record.partition, key: key, value: value, headers: record.headers,
                    timestamp: record.timestamp, transaction: transaction, isPatient: isPatient)
            }
        }
    }

    /// The same for bytes that the caller keeps: they are copied into the batch, and nothing is allocated for them. A value
    /// that is nil is a tombstone.
    @discardableResult
    public func enqueue(
        topic: String, partition: Int32? = nil, key: RawSpan? = nil, value: RawSpan?, headers: [Header] = [],
        timestamp: Int64? = nil
    ) throws(ClientError) -> Delivery {
        try Self.withBytes(key) { (key) throws(ClientError) in
            try Self.withBytes(value) { (value) throws(ClientError) in
                try enqueue(
                    topic: topic, partition: partition, key: key, value: value, headers: headers, timestamp: timestamp,
                    transaction: nil)
            }
        }
    }

    @inline(__always)
    private static func withBytes<Result>(
        _ span: RawSpan?, _ body: (UnsafeRawBufferPointer?) throws(ClientError) -> Result
    ) throws(ClientError) -> Result {
        guard let span else { return try body(nil) }
        return try span.withUnsafeBytes { (bytes) throws(ClientError) in try body(bytes) }
    }

    /// Sends a record and waits until it is acknowledged; waits for room before, up to `maximumBlock`. When the task is
    /// cancelled it stops waiting and throws `cancelled`; the record may be written nevertheless.
    @discardableResult
    nonisolated(nonsending) public func send(_ record: ProducerRecord) async throws(ClientError) -> RecordMetadata {
        try await enqueueWaiting(record).metadata
    }

    /// Puts a record into its batch, waiting for room up to `maximumBlock`. Those who wait get room in the order in which
    /// they came; what `enqueue` takes meanwhile leaves enough for the first of them.
    @discardableResult
    nonisolated(nonsending) public func enqueueWaiting(_ record: ProducerRecord) async throws(ClientError) -> Delivery {
        try await enqueueWaiting(record, transaction: nil)
    }

    nonisolated(nonsending) func enqueueWaiting(
        _ record: ProducerRecord, transaction: Int?
    ) async throws(ClientError) -> Delivery {
        let full: ClientError
        do throws(ClientError) {
            return try enqueue(record, transaction: transaction, isPatient: true)
        } catch {
            guard error.code == .bufferFull else { throw error }
            full = error
        }
        var record = record
        configuration.tracing?.inject(into: &record.headers)
        let timestamp = record.timestamp ?? Self.wallClockMilliseconds()
        if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
        let waiting = WaitingRecord(record, timestamp: timestamp, transaction: transaction)
        await wait(MemoryWait { core in waiting.append(to: &core) })
        if let outcome = waiting.outcome { return try outcome.get() }
        if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
        throw full
    }

    /// Waits until `enqueue` may find room again, after it has thrown `bufferFull`, but `maximumBlock` at most. Those who
    /// wait are woken in the order in which they came.
    nonisolated(nonsending) public func waitForMemory() async throws(ClientError) {
        await wait(MemoryWait())
        if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
    }

    /// Until it was served, `maximumBlock` is over or the task is cancelled; after that it is not served any more.
    private nonisolated(nonsending) func wait(_ waiting: MemoryWait) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waiting.start(continuation)
                let (isServed, mustWake) = sender.shared.withLock { shared -> (Bool, Bool) in
                    // Memory may have become free meanwhile.
                    if shared.memoryWaiters.isEmpty {
                        let isServed = waiting.append?(&shared.core) ?? !shared.core.isExhausted
                        if isServed || shared.core.refusal != nil { return (true, shared.core.needsStep) }
                        if waiting.append != nil { shared.core.awaitedBytes = shared.core.lastRefusedBytes }
                    }
                    shared.memoryWaiters.append(waiting)
                    return (false, shared.core.needsStep)
                }
                if mustWake { sender.wake() }
                if isServed { waiting.end() } else { waiting.limit(to: configuration.maximumBlock, on: sender.loop) }
            }
        } onCancel: {
            waiting.end()
        }
        let hasGivenUp = sender.shared.withLock { shared -> Bool in
            guard shared.memoryWaiters.remove(waiting, &shared.core) else { return false }
            shared.mustServe = true
            return true
        }
        if hasGivenUp { sender.wake() }
    }

    @inline(__always)
    private func enqueue(
        topic: String, partition: Int32?, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
        headers: [Header], timestamp: Int64?, transaction: Int?, isPatient: Bool = false
    ) throws(ClientError) -> Delivery {
        var headers = headers
        configuration.tracing?.inject(into: &headers)
        let timestamp = timestamp ?? Self.wallClockMilliseconds()
        let record = RecordFields(key: key, value: value, headers: headers, timestamp: timestamp)
        let (result, mustWake) = sender.shared.withLock { shared in
            let before = shared.core.needsStep
            let result: Result<ProducerCore.Appended, ClientError>
            do throws(ClientError) {
                // Who can wait does not overtake those who do.
                if isPatient, !shared.memoryWaiters.isEmpty { throw shared.core.full }
                result = .success(
                    try shared.core.append(
                        topic: topic, partition: partition, record: record, transaction: transaction,
                        clock: { ContinuousClock.now }))
            } catch {
                result = .failure(error)
            }
            // The first one that needs it wakes the loop.
            return (result, shared.core.needsStep && !before)
        }
        if mustWake { sender.wake() }
        let appended = try result.get()
        return Delivery(completion: appended.completion, index: appended.index, timestamp: timestamp)
    }

    private static func wallClockMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    // MARK: For transactions

    func withCore<Value: Sendable, Failure: Error>(
        _ body: (inout ProducerCore) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try sender.shared.withLock { (shared) throws(Failure) in try body(&shared.core) }
    }

    func wake() {
        sender.wake()
    }

    /// Until no partitions are being added to the transaction: what comes after its end would open another.
    func waitForControlRequests() async {
        await sender.waitForControlRequests()
    }
}
