import RecordFormat

/// A partition's batches in the order of their records, and the sequence numbers that they get.
struct PartitionQueue {
    let topic: String
    let partition: Int32
    /// nil when nobody leads it as far as is known.
    var leader: Int32?
    var leaderEpoch: Int32 = -1
    /// Sent at least once, the oldest first: at most as many as may be in flight.
    private(set) var assigned: [ProducerBatch] = []
    /// Complete and never sent.
    private(set) var closed: [ProducerBatch] = []
    var open: ProducerBatch?
    var inFlightCount = 0
    /// Nothing is sent before.
    var retryAt: ContinuousClock.Instant?
    /// How long its last batch was, from which the next one's memory is guessed.
    var lastBatchBytes = 512
    var isListed = false

    /// The producer id and epoch that `nextSequence` counts for.
    private(set) var identity: ProducerIdentity?
    private(set) var nextSequence: Int32 = 0
    /// What the broker has last confirmed is followed by this number.
    private var confirmedSequence: Int32 = 0
    /// The log knows the producer id. Until then it takes any number from it, so that a batch which overtakes one that
    /// must be sent again would not be noticed: they go one at a time.
    private(set) var isKnownToLog = false
    /// A batch was given up whose writing is in doubt: no new numbers before that is settled.
    var isUnresolved = false
    /// Numbers are missing in the log for certain: all must be given anew, under another epoch.
    var needsReset = false

    init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    var isEmpty: Bool { assigned.isEmpty && closed.isEmpty && open == nil }
    /// Batches that wait or are on their way.
    var length: Int { assigned.count + closed.count + (open == nil ? 0 : 1) }
    var name: String { "\(topic)-\(partition)" }
    /// The oldest batch that somebody waits for.
    var oldestWaiting: ProducerBatch? { assigned.first { !$0.isAbandoned } ?? closed.first ?? open }
    var all: [ProducerBatch] { assigned + closed + (open.map { [$0] } ?? []) }

    mutating func closeOpen() {
        guard let batch = open else { return }
        batch.stage = .closed
        lastBatchBytes = batch.byteCount
        closed.append(batch)
        open = nil
    }

    /// The first batch that was never sent, taken out of the queue; a first record's batch is closed for that.
    mutating func takeUnsent() -> ProducerBatch {
        if closed.isEmpty { closeOpen() }
        return closed.removeFirst()
    }

    /// Takes all batches that were never sent out.
    mutating func takeAllUnsent() -> [ProducerBatch] {
        closeOpen()
        defer { closed = [] }
        return closed
    }

    /// A batch goes out for the first time. Its numbers come after those before; an unequal identity starts at zero,
    /// which needs that nothing is in doubt.
    mutating func assign(_ batch: ProducerBatch, identity current: ProducerIdentity?) {
        if let current {
            if identity != current {
                precondition(assigned.isEmpty)
                startAgain(current)
            }
            batch.sequence = ProducerBatch.Sequence(
                producerId: current.id, producerEpoch: current.epoch, base: nextSequence)
            nextSequence = RecordBatchHeader.sequence(nextSequence, advancedBy: batch.recordCount)
        }
        assigned.append(batch)
    }

    /// Gives all batches that were sent before new numbers from zero on. Nothing may be in flight.
    mutating func restartSequences(_ identity: ProducerIdentity) {
        precondition(inFlightCount == 0)
        startAgain(identity)
        for batch in assigned {
            batch.sequence = ProducerBatch.Sequence(
                producerId: identity.id, producerEpoch: identity.epoch, base: nextSequence)
            batch.isInDoubt = false
            batch.isOutOfOrder = false
            nextSequence = RecordBatchHeader.sequence(nextSequence, advancedBy: batch.recordCount)
        }
    }

    private mutating func startAgain(_ identity: ProducerIdentity) {
        if self.identity?.id != identity.id { isKnownToLog = false }
        self.identity = identity
        nextSequence = 0
        confirmedSequence = 0
        isUnresolved = false
        needsReset = false
    }

    /// The next batch to send again: the first one, but for those that the broker calls out of order.
    var nextRetry: ProducerBatch? { assigned.first { $0.stage == .waitsForRetry && !$0.isOutOfOrder } }

    /// Nothing is left that could say whether those that are out of order are in the log, so that they are not.
    var isStuck: Bool { inFlightCount == 0 && !assigned.isEmpty && assigned.allSatisfy(\.isOutOfOrder) }

    /// Those before `batch` that wait to be sent again.
    func waiting(before batch: ProducerBatch) -> [ProducerBatch] {
        guard batch.sequence != nil else { return [] }
        return assigned.prefix { $0 !== batch }.filter { $0.stage == .waitsForRetry }
    }

    /// The partition has another log than before.
    mutating func didChangeLog() {
        isKnownToLog = false
    }

    /// The broker has the batch.
    mutating func confirm(_ batch: ProducerBatch) {
        guard let sequence = batch.sequence else { return }
        isKnownToLog = true
        let confirmed = RecordBatchHeader.sequence(sequence.base, advancedBy: batch.recordCount)
        // Replies of two connections may come in any order. Numbers go on with 0 after the largest.
        let distance = (confirmed &- confirmedSequence) & .max
        if distance < .max / 2 { confirmedSequence = confirmed }
        if isUnresolved, confirmedSequence == nextSequence { isUnresolved = false }
    }

    /// Whether a batch in doubt has turned out to be missing: nothing is on its way any more, and the last numbers were
    /// never confirmed.
    var isGapCertain: Bool { isUnresolved && assigned.isEmpty && confirmedSequence != nextSequence }

    /// Nothing is in doubt any more when the last number is in the log: so are those before it.
    mutating func resolve() {
        if isUnresolved, assigned.isEmpty, confirmedSequence == nextSequence { isUnresolved = false }
    }

    mutating func removeAssigned(_ batch: ProducerBatch) {
        assigned.removeAll { $0 === batch }
    }

    mutating func replaceAssigned(_ batch: ProducerBatch, with parts: [ProducerBatch]) {
        guard let index = assigned.firstIndex(where: { $0 === batch }) else { return }
        assigned.replaceSubrange(index...index, with: parts)
    }

    mutating func removeUnsent(_ batch: ProducerBatch) {
        if open === batch { open = nil } else { closed.removeAll { $0 === batch } }
    }
}

/// The numbers by which brokers recognize a producer.
struct ProducerIdentity: Hashable, Sendable {
    var id: Int64
    var epoch: Int16
}
