import KafkaProtocol

/// An assigned partition: where it is read and what of it waits.
struct PartitionState: Sendable {
    typealias Instant = ContinuousClock.Instant

    enum Phase: Equatable, Sendable {
        /// What the group has committed is asked for.
        case needsCommitted
        /// The offset of a place is asked for.
        case needsOffset(OffsetPosition)
        /// Whether the leader still has what was read in an earlier leader's time (KIP-320).
        case needsValidation
        case ready
    }

    let name: TopicPartition
    /// Changes whenever what is fetched or under way has become meaningless.
    var generation: UInt64
    /// Changes whenever what the application has of it has become meaningless: with each assignment, seek and reset.
    var possession: UInt64
    var isAssigned = true
    var phase: Phase
    /// A request about the phase is under way.
    var isAsking = false
    /// Why it cannot go on without the application: thrown until that seeks or assigns anew.
    var failure: ClientError?

    var topicId = Uuid.zero
    var leader: Int32?
    var leaderEpoch: Int32 = -1
    /// The leader epoch in which the position was last found to be good.
    var validatedEpoch: Int32 = -1
    /// A replica to read from rather than the leader, and until when (KIP-392).
    var preferredReplica: (node: Int32, until: Instant)?

    /// What the application is given next; nil while that is not known.
    var position: Int64?
    /// The leader's epoch of the record before `position`, -1 when it is not known.
    var positionEpoch: Int32 = -1
    /// After what the application is done with.
    var done: ConsumedOffset?
    /// What is fetched next, after all that waits.
    var fetchOffset: Int64 = 0
    /// The leader's epoch of the record before `fetchOffset`.
    var fetchEpoch: Int32 = -1
    /// Those before `head` are gone: nil, so that nothing keeps their replies.
    private var chunks: [FetchedChunk?] = []
    private var head = 0
    /// Of the chunks; what they keep of their replies' memory is the core's to count.
    var bufferedBytes = 0
    var isQueued = false
    /// The broker from which it is being fetched, whatever that may bring.
    var inFlightNode: Int32?
    var isPaused = false
    /// It is about to go: nothing is fetched or handed out any more.
    var isLeaving = false

    var failures = 0
    var retryAt: Instant?
    /// Since when the cluster does not know it.
    var unknownSince: Instant?
    var highWatermark: Int64?
    var lastStableOffset: Int64?
    var logStartOffset: Int64?
    /// Grows with the replies that had records, for turns.
    var lastTurn: UInt64 = 0

    init(name: TopicPartition, generation: UInt64, phase: Phase) {
        self.name = name
        self.generation = generation
        possession = generation
        self.phase = phase
    }

    var hasRecords: Bool { head < chunks.count }
    /// All that it keeps from being freed.
    var heldChunks: [FetchedChunk] { chunks.compactMap(\.self) }
    var isActive: Bool { isAssigned && !isLeaving && failure == nil }

    mutating func append(_ chunk: FetchedChunk) {
        chunks.append(chunk)
        bufferedBytes += chunk.byteCount
    }

    mutating func removeFirst() -> FetchedChunk {
        guard let chunk = chunks[head] else { preconditionFailure("a chunk was taken twice") }
        chunks[head] = nil
        head += 1
        bufferedBytes -= chunk.byteCount
        if head == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 16 {
            chunks.removeSubrange(..<head)
            head = 0
        }
        return chunk
    }

    mutating func putBack(_ chunk: FetchedChunk) {
        if head > 0 {
            head -= 1
            chunks[head] = chunk
        } else {
            chunks.insert(chunk, at: 0)
        }
        bufferedBytes += chunk.byteCount
    }

    /// Forgets what waits, and returns it.
    mutating func clear() -> [FetchedChunk] {
        defer {
            chunks = []
            head = 0
            bufferedBytes = 0
        }
        return heldChunks
    }
}

/// An assigned partition of a certain time: of its `generation` for what is fetched, of its `possession` for what the
/// application has.
struct PartitionReference: Hashable, Sendable {
    let slot: Int
    let generation: UInt64
}
