import RecordFormat

/// What a log remembers of a batch that an idempotent producer wrote.
package struct ProducerBatch: Equatable, Sendable {
    package var lastSequence: Int32
    package var lastOffset: Int64
    package var offsetDelta: Int32
    package var timestamp: Int64

    package var firstOffset: Int64 { lastOffset - Int64(offsetDelta) }

    package var firstSequence: Int32 {
        // Sequence numbers wrap around to 0 after Int32.max.
        Int32(truncatingIfNeeded: (Int64(lastSequence) - Int64(offsetDelta)) & 0x7FFF_FFFF)
    }

    init() {
        lastSequence = -1
        lastOffset = -1
        offsetDelta = 0
        timestamp = -1
    }

    init(lastSequence: Int32, lastOffset: Int64, offsetDelta: Int32, timestamp: Int64) {
        self.lastSequence = lastSequence
        self.lastOffset = lastOffset
        self.offsetDelta = offsetDelta
        self.timestamp = timestamp
    }
}

/// What a log remembers of one producer. Holds its batches inline, so that keeping it costs no allocation.
package struct ProducerState: Sendable {
    /// How many batches a producer may have in flight and still get a duplicate recognized.
    package static let rememberedBatches = 5

    package var producerId: Int64
    /// -1 until a batch or marker came.
    package var producerEpoch: Int16 = -1
    package var coordinatorEpoch: Int32 = -1
    /// The first offset of the open transaction; -1 for none.
    package var transactionFirstOffset: Int64 = -1
    package var lastTimestamp: Int64 = -1
    /// Where the newest batch without a sequence number ends: a coordinator's. -1 for none of this epoch.
    var unsequencedLastOffset: Int64 = -1
    /// No batch up to here is of an open transaction: where the producer's newest marker is or, out of a snapshot, at
    /// least. -1 when none was seen.
    var lastMarkerOffset: Int64 = -1
    private var batches: InlineArray<5, ProducerBatch> = .init(repeating: ProducerBatch())
    package private(set) var batchCount = 0

    init(producerId: Int64) {
        self.producerId = producerId
    }

    /// The oldest first.
    package subscript(batch index: Int) -> ProducerBatch {
        precondition(index < batchCount)
        return batches[index]
    }

    package var lastBatch: ProducerBatch? { batchCount == 0 ? nil : batches[batchCount - 1] }
    package var lastSequence: Int32 { lastBatch?.lastSequence ?? -1 }
    package var hasOpenTransaction: Bool { transactionFirstOffset >= 0 }
    /// Where the batch ends from which the producer's state is found again: the newest with a sequence number, or
    /// without any such, the newest. nil when only markers are known.
    var lastDataOffset: Int64? {
        lastBatch?.lastOffset ?? (unsequencedLastOffset >= 0 ? unsequencedLastOffset : nil)
    }

    func duplicate(of header: RecordBatchHeader) -> ProducerBatch? {
        guard header.producerEpoch == producerEpoch else { return nil }
        let lastSequence = header.lastSequence
        for index in 0..<batchCount
        where batches[index].lastSequence == lastSequence && batches[index].firstSequence == header.baseSequence {
            return batches[index]
        }
        return nil
    }

    mutating func add(_ batch: ProducerBatch) {
        if batchCount == Self.rememberedBatches {
            for index in 1..<Self.rememberedBatches { batches[index - 1] = batches[index] }
            batchCount -= 1
        }
        batches[batchCount] = batch
        batchCount += 1
        lastTimestamp = batch.timestamp
    }

    mutating func advanceEpoch(to epoch: Int16) {
        guard epoch != producerEpoch else { return }
        producerEpoch = epoch
        batchCount = 0
        unsequencedLastOffset = -1
    }
}
