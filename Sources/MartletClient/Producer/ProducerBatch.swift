import NIOCore
import RecordFormat

/// Records of one partition, written where they are sent from. Its owner changes: while records come and while it
/// waits it belongs to the producer's lock; once it is in a request, what `seal` touches belongs to the event loop until
/// that request is over. That is why it may cross threads.
final class ProducerBatch: @unchecked Sendable {
    /// Where a batch is on its way.
    enum Stage {
        /// Takes records.
        case open
        /// Complete, never sent.
        case closed
        case inFlight
        /// Was sent before, without success or without an answer.
        case waitsForRetry
        /// Acknowledged or failed; its memory is gone.
        case finished
    }

    /// Who writes it, for the broker to recognize it again.
    struct Sequence: Equatable {
        var producerId: Int64
        var producerEpoch: Int16
        var base: Int32
    }

    /// The partition's place in the producer's table.
    let slot: Int
    let completion: BatchCompletion
    let created: ContinuousClock.Instant
    /// The header's place and the records; from `seal` on the whole batch as it is sent.
    private(set) var buffer: ByteBuffer
    private(set) var recordCount: Int32 = 0
    private var baseTimestamp: Int64 = 0
    private var maximumTimestamp: Int64 = 0

    var stage = Stage.open
    /// How often it was sent.
    var attempts = 0
    /// What it counts against the memory of all batches.
    var charge = 0
    /// nil for a producer that is not idempotent, and before it is sent for the first time.
    var sequence: Sequence?
    /// An attempt had no answer, or one that does not say whether it is in the log.
    var isInDoubt = false
    /// It was in doubt, and the broker calls it out of order: it is in the log or nothing after it is.
    var isOutOfOrder = false
    /// Given up while it is in flight: nobody waits for it any more, but its sequence numbers may be used.
    var isAbandoned = false
    private var isCompressed = false
    private var sealedSequence: Sequence?
    private var isSealed = false

    init(slot: Int, completion: BatchCompletion, created: ContinuousClock.Instant, capacity: Int) {
        self.slot = slot
        self.completion = completion
        self.created = created
        buffer = ByteBufferAllocator().buffer(capacity: max(capacity, RecordBatchHeader.byteCount))
        buffer.moveWriterIndex(to: RecordBatchHeader.byteCount)
    }

    /// The length before compression; after `seal`, the length that is sent.
    var byteCount: Int { buffer.readableBytes }
    /// The memory it takes.
    var capacity: Int { buffer.capacity }

    /// How much memory it would take with `more` bytes more.
    func capacity(adding more: Int) -> Int {
        let needed = buffer.writerIndex + more
        return needed <= buffer.capacity ? buffer.capacity : max(needed, 1).nextPowerOfTwo
    }

    /// Adds a record and returns its index. `bound` is the record's `lengthBound`.
    @inline(__always)
    func append(_ record: RecordFields, bound: Int) -> Int32 {
        let index = recordCount
        if index == 0 {
            baseTimestamp = record.timestamp
            maximumTimestamp = record.timestamp
        } else if record.timestamp > maximumTimestamp {
            maximumTimestamp = record.timestamp
        }
        let delta = record.timestamp &- baseTimestamp
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { target in
            record.write(to: target.baseAddress!, timestampDelta: delta, offsetDelta: index)
        }
        recordCount = index + 1
        return index
    }

    /// Writes the header for the sequence that is set, and compresses the records the first time. Costs nothing when
    /// nothing has changed since.
    func seal(
        compression: Compression, isTransactional: Bool, compressor: Compressor, scratch: ScratchBuffer
    ) throws(CompressionError) {
        if isSealed, sealedSequence == sequence { return }
        if compression.codec != .none, !isCompressed {
            scratch.count = 0
            var failure: CompressionError?
            buffer.withUnsafeReadableBytes { bytes in
                do throws(CompressionError) {
                    try compressor.compress(
                        UnsafeRawBufferPointer(rebasing: bytes[RecordBatchHeader.byteCount...]),
                        with: compression.codec, level: compression.level, into: scratch)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            var compressed = ByteBufferAllocator().buffer(capacity: RecordBatchHeader.byteCount + scratch.count)
            compressed.moveWriterIndex(to: RecordBatchHeader.byteCount)
            compressed.writeBytes(scratch.bytes)
            buffer = compressed
            isCompressed = true
        }
        var attributes = RecordBatchAttributes().with(codec: compression.codec)
        if isTransactional { attributes.insert(.transactional) }
        var header = RecordBatchHeader(
            attributes: attributes, lastOffsetDelta: recordCount - 1, baseTimestamp: baseTimestamp,
            maxTimestamp: maximumTimestamp, producerId: sequence?.producerId ?? -1,
            producerEpoch: sequence?.producerEpoch ?? -1, baseSequence: sequence?.base ?? -1, recordCount: recordCount)
        // A copy is made only when an earlier attempt still lies in a connection's queue.
        buffer.withUnsafeMutableReadableBytes { header.seal($0) }
        sealedSequence = sequence
        isSealed = true
    }

    /// Gives the memory back, when nothing is to be sent any more.
    func release() {
        buffer = ByteBuffer()
    }
}

extension Int {
    /// The smallest power of two that is not less, for a positive number.
    var nextPowerOfTwo: Int {
        self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
    }
}
