import KafkaProtocol

/// All that a consumer decides about records: where each partition is read, what is fetched from whom, what a reply or an
/// error means, what the application is given next and what it is done with. A pure state machine: time and chance come
/// from the caller; whoever drives it calls `step` after each event and carries out what that returns.
struct ConsumerCore: Sendable {
    typealias Instant = ContinuousClock.Instant

    struct Node {
        enum State: Equatable {
            case idle
            case connecting
            case connected
        }
        var state = State.idle
        /// Counts the connections, so that an old one's end is not taken for the present one's.
        var connection = 0
        var failures = 0
        var retryAt: Instant?
        /// A quota is exceeded: nothing is fetched before (KIP-219).
        var throttledUntil: Instant?
        var session = FetchSessionState()
        /// The fetch that is under way, and what it may bring.
        var inFlight: [PartitionReference]?
        var reserved = 0
        /// Grows with the fetches, for turns.
        var lastTurn: UInt64 = 0
        /// While some partition's records wait: when the others are asked again, and the pause after that.
        var nextShortFetch: Instant?
        var shortPause: Duration = .zero
    }

    /// What the application has been given and is not done with.
    struct HandedOut {
        let reference: PartitionReference
        let next: ConsumedOffset
    }

    let configuration: ConsumerConfiguration
    let backoff: Backoff
    var generator: SplitMixGenerator
    var slots: [PartitionState] = []
    var free: [Int] = []
    var index: [TopicPartition: Int] = [:]
    /// Slots with records, in turn.
    var queue: [Int] = []
    var queueHead = 0
    var nodes: [Int32: Node] = [:]
    var generations: UInt64 = 0
    var turns: UInt64 = 0
    /// How many replies have come.
    var frames: UInt64 = 0
    /// Of the replies some of whose records wait.
    var bufferedBytes = 0
    var reservedBytes = 0
    /// How many chunks wait of each of these replies, by its id.
    var waitingChunks: [UInt64: Int] = [:]
    /// How many brokers there is something to fetch from.
    var sources = 0
    /// Something was not fetched because there is no room.
    var isShortOfMemory = false
    var handedOut: [HandedOut] = []
    /// Whose records the application is given one by one.
    var current: PartitionReference?
    /// Errors to be told once.
    var errors: [ClientError] = []
    var metadata = MetadataNeed()
    /// Whether a partition that the cluster does not know is an error: a group takes such a partition away by itself.
    var reportsUnknown = true
    /// Whether the cluster has ever answered.
    var knowsCluster = false
    /// Nothing can be done any more.
    var end: ClientError?
    /// `step` should be called although no event of the network makes that happen.
    var needsStep = false
    var actions = ConsumerActions()
    var nextStep: Instant?

    /// Between looks at the other partitions of a broker while one has its share of records waiting.
    static let shortFetchPause: Duration = .milliseconds(5)

    init(configuration: ConsumerConfiguration, seed: UInt64) {
        self.configuration = configuration
        backoff = Backoff(initial: configuration.retryBackoff, maximum: configuration.maximumRetryBackoff)
        generator = SplitMixGenerator(state: seed)
    }

    mutating func delay(after attempt: Int) -> Duration {
        backoff.delay(after: max(attempt, 1), using: &generator)
    }

    mutating func plan(_ instant: Instant) {
        nextStep = nextStep.map { min($0, instant) } ?? instant
    }

    /// The slot of a partition that is still what it was.
    func isCurrent(_ reference: PartitionReference) -> Bool {
        slots.indices.contains(reference.slot) && slots[reference.slot].generation == reference.generation
            && slots[reference.slot].isAssigned
    }

    /// Whether what the application was given counts: it is done with when it asks for more.
    func isPossessed(_ reference: PartitionReference) -> Bool {
        slots.indices.contains(reference.slot) && slots[reference.slot].possession == reference.generation
            && slots[reference.slot].isAssigned
    }

    /// Whether the application has records of the partition that it is not known to be done with.
    func isPossessed(_ slot: Int) -> Bool {
        let reference = possession(slot)
        return current == reference || handedOut.contains { $0.reference == reference }
    }

    func possession(_ slot: Int) -> PartitionReference {
        PartitionReference(slot: slot, generation: slots[slot].possession)
    }

    func reference(_ slot: Int) -> PartitionReference {
        PartitionReference(slot: slot, generation: slots[slot].generation)
    }

    mutating func nextGeneration() -> UInt64 {
        generations += 1
        return generations
    }

    /// What waits of a partition is not wanted any more, nor what is under way.
    mutating func invalidate(_ slot: Int) {
        clear(slot)
        slots[slot].generation = nextGeneration()
        slots[slot].isAsking = false
        slots[slot].failures = 0
        slots[slot].retryAt = nil
        slots[slot].failure = nil
        needsStep = true
    }

    // MARK: Memory

    /// A chunk waits, and with it the whole reply's memory.
    mutating func hold(_ frame: FetchedFrame) {
        let count = waitingChunks[frame.id, default: 0]
        waitingChunks[frame.id] = count + 1
        if count == 0 { bufferedBytes += frame.byteCount }
    }

    /// A chunk waits no more; the reply's memory is free with the last one.
    mutating func release(_ frame: FetchedFrame) {
        guard let count = waitingChunks[frame.id] else { preconditionFailure("a chunk that waits is counted") }
        waitingChunks[frame.id] = count > 1 ? count - 1 : nil
        if count == 1 { bufferedBytes -= frame.byteCount }
    }

    /// Forgets what waits of a partition.
    mutating func clear(_ slot: Int) {
        for chunk in slots[slot].clear() { release(chunk.frame) }
    }

    mutating func enqueue(_ slot: Int) {
        guard !slots[slot].isQueued, slots[slot].hasRecords else { return }
        slots[slot].isQueued = true
        queue.append(slot)
    }

    // MARK: The application

    /// Whether `takeChunk` may find something.
    var hasRecords: Bool {
        var place = queueHead
        while place < queue.count {
            let state = slots[queue[place]]
            if state.isActive, !state.isPaused, state.hasRecords { return true }
            place += 1
        }
        return false
    }

    /// Why the application cannot go on.
    var failure: ClientError? {
        if let end { return end }
        return slots.first { $0.isAssigned && !$0.isLeaving && $0.failure != nil }?.failure
    }

    struct Taken: Sendable {
        let reference: PartitionReference
        let name: TopicPartition
        let chunk: FetchedChunk
    }

    /// What comes next, partitions in turn.
    mutating func takeChunk() -> Taken? {
        var looked = queue.count - queueHead
        while looked > 0 {
            looked -= 1
            let slot = queue[queueHead]
            queueHead += 1
            if queueHead > 64 || queueHead == queue.count {
                queue.removeSubrange(..<queueHead)
                queueHead = 0
            }
            slots[slot].isQueued = false
            guard slots[slot].hasRecords, slots[slot].isAssigned else { continue }
            guard slots[slot].isActive, !slots[slot].isPaused else {
                enqueue(slot)
                continue
            }
            let wasFull = isFull(slot)
            let chunk = slots[slot].removeFirst()
            release(chunk.frame)
            if isShortOfMemory || (wasFull && !isFull(slot)) { needsStep = true }
            return Taken(reference: reference(slot), name: slots[slot].name, chunk: chunk)
        }
        return nil
    }

    /// Records before `next` are with the application, but for `rest`. False when the partition has been taken away or
    /// moved meanwhile: they must not be shown.
    mutating func didPrepare(
        _ taken: Taken, next: ConsumedOffset, rest: FetchedChunk?, hasRecords: Bool
    ) -> Bool {
        guard isCurrent(taken.reference) else { return false }
        let slot = taken.reference.slot
        guard slots[slot].isActive, !slots[slot].isPaused else {
            // What keeps it from going on may pass.
            putBack(taken)
            return false
        }
        slots[slot].position = next.offset
        slots[slot].positionEpoch = next.leaderEpoch ?? -1
        if let rest {
            slots[slot].putBack(rest)
            hold(rest.frame)
        }
        enqueue(slot)
        if hasRecords {
            handedOut.append(HandedOut(reference: possession(slot), next: next))
        } else if !isPossessed(slot) {
            slots[slot].done = next
        }
        return true
    }

    /// What was taken cannot be given to the application now.
    mutating func putBack(_ taken: Taken) {
        let slot = taken.reference.slot
        guard isCurrent(taken.reference), !slots[slot].isLeaving else { return }
        slots[slot].putBack(taken.chunk)
        hold(taken.chunk.frame)
        enqueue(slot)
    }

    /// A damaged batch: it is fetched again, since it may have suffered on its way.
    mutating func didFailToPrepare(_ taken: Taken, now: Instant) {
        guard isCurrent(taken.reference) else { return }
        let slot = taken.reference.slot
        rewind(slot, to: slots[slot].position ?? taken.chunk.startOffset)
        backOff(slot, now)
    }

    /// The application is done with what it was given.
    mutating func finishHandedOut() {
        for given in handedOut where isPossessed(given.reference) { slots[given.reference.slot].done = given.next }
        handedOut.removeAll(keepingCapacity: true)
    }

    /// The application wants a partition from `offset` on again, which it was given before.
    mutating func rewind(_ slot: Int, to offset: Int64) {
        let epoch = slots[slot].positionEpoch
        invalidate(slot)
        slots[slot].position = offset
        slots[slot].fetchOffset = offset
        slots[slot].fetchEpoch = epoch
        if slots[slot].phase == .needsValidation {
            slots[slot].phase = .ready
            checkEpoch(slot)
        }
    }

    /// An error that the application is told once, although it may be met again and again.
    mutating func note(_ error: ClientError) {
        guard errors.count < Self.maximumErrors, !errors.contains(where: { $0.description == error.description }) else {
            return
        }
        errors.append(error)
    }

    private static let maximumErrors = 16

    func isFull(_ slot: Int) -> Bool {
        slots[slot].bufferedBytes >= configuration.maximumPartitionFetchBytes
    }

    /// Ends everything.
    mutating func end(_ error: ClientError) {
        if end == nil { end = error }
        needsStep = true
    }
}
