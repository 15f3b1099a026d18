import KafkaProtocol

/// All that a producer decides: which batch a record goes to, when it is sent and in which order, what a reply, an
/// error or a lost connection means for it. A pure state machine: time and chance come from the caller; whoever drives
/// it calls `step` after each event and carries out what that returns.
struct ProducerCore: Sendable {
    typealias Instant = ContinuousClock.Instant

    struct Topic {
        let name: String
        /// A partition's place in `partitions`, by its number; empty while the topic is not known.
        var slots: [Int] = []
        var id = Uuid.zero
        var sticky = StickyPartitioner()
        var staged: StagedRecords?
        /// A batch was begun since its partitions were asked for.
        var isUsed = true
        /// Why its partitions are not known.
        var failure: ClientError?

        var isKnown: Bool { !slots.isEmpty }
    }

    struct Node {
        enum State: Equatable {
            case idle
            case connecting
            case connected
        }
        var state = State.idle
        /// Counts the connections, so that an old one's end is not taken for the present one's.
        var connection = 0
        var inFlight = 0
        var failures = 0
        var retryAt: Instant?
        /// A quota is exceeded: nothing is sent before (KIP-219).
        var throttledUntil: Instant?
    }

    enum IdentityState: Equatable {
        case notNeeded
        case missing
        case requested
        case known(ProducerIdentity)
    }

    struct Counts: Sendable {
        var acknowledged = 0
        var failed = 0
        var firstFailure: ClientError?
    }

    let configuration: ProducerConfiguration
    let backoff: Backoff
    var generator: SplitMixGenerator
    var topics: [Topic] = []
    var topicIndexes: [String: Int] = [:]
    var lastTopic: (name: String, index: Int)?
    var partitions: [PartitionQueue] = []
    /// Places of the partitions that have batches.
    var listed: [Int] = []
    var nodes: [Int32: Node] = [:]
    var identity: IdentityState
    var identityFailures = 0
    var identityRetryAt: Instant?
    var transaction: TransactionState?
    /// Why nothing is taken any more.
    var refusal: ClientError?
    var bufferedBytes = 0
    /// What the first of those who wait for memory needs: others leave it that much.
    var awaitedBytes = 0
    /// Somebody waits for memory: nothing lingers.
    var isExhausted = false
    /// For how much there was no room the last time.
    var lastRefusedBytes = 0
    /// Staged records are on their way into batches.
    var isPlacing = false
    /// `step` should be called although no event of the network makes that happen.
    var needsStep = false
    var plannedStep: Instant?
    var nextStep: Instant?
    var metadata = MetadataNeed()
    var counts = Counts()
    var actions = ProducerActions()

    init(configuration: ProducerConfiguration, seed: UInt64) {
        self.configuration = configuration
        backoff = Backoff(initial: configuration.retryBackoff, maximum: configuration.maximumRetryBackoff)
        generator = SplitMixGenerator(state: seed)
        identity = configuration.isIdempotent ? .missing : .notNeeded
        if configuration.transactionalId != nil { transaction = TransactionState() }
    }

    var isIdempotent: Bool { identity != .notNeeded }
    var isTransactional: Bool { transaction != nil }
    var currentIdentity: ProducerIdentity? {
        if case .known(let identity) = identity { identity } else { nil }
    }

    mutating func list(_ slot: Int) {
        guard !partitions[slot].isListed else { return }
        partitions[slot].isListed = true
        listed.append(slot)
    }

    mutating func delay(after attempt: Int) -> Duration {
        backoff.delay(after: max(attempt, 1), using: &generator)
    }

    /// Ends a batch: its memory is free, and whoever waits will know.
    mutating func finish(_ batch: ProducerBatch, _ outcome: BatchCompletion.Outcome) {
        guard batch.stage != .finished else { return }
        batch.stage = .finished
        bufferedBytes -= batch.charge
        batch.release()
        actions.freedMemory = true
        // Who has given it up has counted it.
        if !batch.isAbandoned { report(outcome, of: Int(batch.recordCount), to: batch.completion) }
    }

    /// Fails a batch for whoever waits for it. One that is in flight keeps its memory and its place until its request is
    /// over.
    mutating func drop(_ batch: ProducerBatch, _ error: ClientError) {
        let slot = batch.slot
        switch batch.stage {
        case .inFlight:
            guard !batch.isAbandoned else { return }
            batch.isAbandoned = true
            transaction?.didLeaveDoubt()
            report(.failed(error), of: Int(batch.recordCount), to: batch.completion)
        case .waitsForRetry:
            partitions[slot].removeAssigned(batch)
            if batch.sequence != nil { leaveUnresolved(slot) }
            finish(batch, .failed(error))
        case .open, .closed:
            partitions[slot].removeUnsent(batch)
            finish(batch, .failed(error))
        case .finished:
            // It has no place any more, and must not be looked at for ever.
            partitions[slot].removeAssigned(batch)
            partitions[slot].removeUnsent(batch)
        }
    }

    /// Numbers of a batch that was sent are missing, or it is in doubt.
    mutating func leaveUnresolved(_ slot: Int) {
        partitions[slot].isUnresolved = true
        transaction?.didLeaveDoubt()
    }

    mutating func report(_ outcome: BatchCompletion.Outcome, of count: Int, to completion: BatchCompletion) {
        switch outcome {
        case .acknowledged: counts.acknowledged += count
        case .failed(let error):
            counts.failed += count
            if counts.firstFailure == nil { counts.firstFailure = error }
        case .forwarded: break
        }
        actions.completions.append((completion, outcome))
    }

    /// All batches that are not finished, staged records included, to wait for.
    var unfinished: [BatchCompletion] {
        var completions = listed.flatMap { partitions[$0].all.map(\.completion) }
        completions += topics.compactMap(\.staged?.completion)
        return completions
    }

    /// Every record is acknowledged or has failed, and nothing of it can be on its way any more.
    var isIdle: Bool {
        listed.allSatisfy { partitions[$0].isEmpty } && topics.allSatisfy { $0.staged == nil }
    }

    /// Nothing lingers any more of what is there now.
    mutating func closeOpenBatches() {
        for slot in listed { partitions[slot].closeOpen() }
        needsStep = true
    }

    /// Fails whatever is not finished, and all that comes. What is in flight keeps its memory, which the event loop may
    /// be reading at this moment, until its request is over.
    mutating func end(_ error: ClientError) {
        if refusal == nil { refusal = error }
        for slot in listed {
            for batch in partitions[slot].all { drop(batch, error) }
        }
        for index in topics.indices { failStaged(index, error) }
        actions.freedMemory = true
        needsStep = true
    }
}

/// A sequence of numbers from a seed (SplitMix64).
struct SplitMixGenerator: RandomNumberGenerator, Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
