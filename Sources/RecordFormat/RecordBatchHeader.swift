/// The fixed part of a record batch v2, in front of its records. All integers are big-endian.
///
///     offset  bytes  field
///          0      8  base offset             not under the checksum
///          8      4  batch length            what follows this field
///         12      4  partition leader epoch  not under the checksum
///         16      1  magic                   2
///         17      4  CRC-32C of what follows this field
///         21      2  attributes
///         23      4  last offset delta
///         27      8  base timestamp
///         35      8  max timestamp
///         43      8  producer id             -1: none
///         51      2  producer epoch
///         53      4  base sequence
///         57      4  record count
///         61         the records
@frozen
package struct RecordBatchHeader: Equatable, Sendable {
    /// The header's length.
    @inlinable package static var byteCount: Int { 61 }
    /// What `batchLength` does not count: the base offset and itself.
    @inlinable package static var lengthOverhead: Int { 12 }
    /// Where the bytes under the checksum start.
    @inlinable package static var checksumStart: Int { 21 }
    @inlinable package static var currentMagic: Int8 { 2 }

    package var baseOffset: Int64
    package var batchLength: Int32
    package var partitionLeaderEpoch: Int32
    package var magic: Int8
    package var crc: UInt32
    package var attributes: RecordBatchAttributes
    package var lastOffsetDelta: Int32
    package var baseTimestamp: Int64
    package var maxTimestamp: Int64
    package var producerId: Int64
    package var producerEpoch: Int16
    package var baseSequence: Int32
    package var recordCount: Int32

    /// Reads the fields of the batch at the start of `bytes`, whatever they say; nil when there are fewer than 61
    /// bytes. Check `magic` before believing the fields after it.
    @inlinable
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.byteCount else { return nil }
        baseOffset = bytes.loadBigEndian(at: 0)
        batchLength = bytes.loadBigEndian(at: 8)
        partitionLeaderEpoch = bytes.loadBigEndian(at: 12)
        magic = bytes.loadBigEndian(at: 16)
        crc = bytes.loadBigEndian(at: 17)
        attributes = RecordBatchAttributes(rawValue: bytes.loadBigEndian(at: 21))
        lastOffsetDelta = bytes.loadBigEndian(at: 23)
        baseTimestamp = bytes.loadBigEndian(at: 27)
        maxTimestamp = bytes.loadBigEndian(at: 35)
        producerId = bytes.loadBigEndian(at: 43)
        producerEpoch = bytes.loadBigEndian(at: 51)
        baseSequence = bytes.loadBigEndian(at: 53)
        recordCount = bytes.loadBigEndian(at: 57)
    }

    package init(
        baseOffset: Int64 = 0, batchLength: Int32 = 49, partitionLeaderEpoch: Int32 = -1,
        attributes: RecordBatchAttributes = [], lastOffsetDelta: Int32 = 0, baseTimestamp: Int64 = -1,
        maxTimestamp: Int64 = -1, producerId: Int64 = -1, producerEpoch: Int16 = -1, baseSequence: Int32 = -1,
        recordCount: Int32 = 0
    ) {
        self.baseOffset = baseOffset
        self.batchLength = batchLength
        self.partitionLeaderEpoch = partitionLeaderEpoch
        self.magic = Self.currentMagic
        self.crc = 0
        self.attributes = attributes
        self.lastOffsetDelta = lastOffsetDelta
        self.baseTimestamp = baseTimestamp
        self.maxTimestamp = maxTimestamp
        self.producerId = producerId
        self.producerEpoch = producerEpoch
        self.baseSequence = baseSequence
        self.recordCount = recordCount
    }

    /// The whole batch's length. Meaningless, even negative, when the length field is.
    @inlinable package var totalLength: Int { Int(batchLength) + Self.lengthOverhead }

    @inlinable package var lastOffset: Int64 { baseOffset &+ Int64(lastOffsetDelta) }
    @inlinable package var nextOffset: Int64 { lastOffset &+ 1 }
    @inlinable package var hasProducer: Bool { producerId >= 0 }
    @inlinable package var isTransactional: Bool { attributes.isTransactional }
    @inlinable package var isControl: Bool { attributes.isControl }

    /// The sequence number of the last record; numbers wrap around to 0 after Int32.max.
    @inlinable package var lastSequence: Int32 {
        baseSequence < 0 ? baseSequence : Self.sequence(baseSequence, advancedBy: lastOffsetDelta)
    }

    @inlinable
    package static func sequence(_ sequence: Int32, advancedBy count: Int32) -> Int32 {
        Int32(truncatingIfNeeded: (Int64(sequence) + Int64(count)) & 0x7FFF_FFFF)
    }

    package var codec: CompressionCodec? { attributes.codec }

    /// Writes the 61 bytes as they are, the checksum included.
    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount)
        bytes.storeBigEndian(baseOffset, at: 0)
        bytes.storeBigEndian(batchLength, at: 8)
        bytes.storeBigEndian(partitionLeaderEpoch, at: 12)
        bytes.storeBigEndian(magic, at: 16)
        bytes.storeBigEndian(crc, at: 17)
        bytes.storeBigEndian(attributes.rawValue, at: 21)
        bytes.storeBigEndian(lastOffsetDelta, at: 23)
        bytes.storeBigEndian(baseTimestamp, at: 27)
        bytes.storeBigEndian(maxTimestamp, at: 35)
        bytes.storeBigEndian(producerId, at: 43)
        bytes.storeBigEndian(producerEpoch, at: 51)
        bytes.storeBigEndian(baseSequence, at: 53)
        bytes.storeBigEndian(recordCount, at: 57)
    }

    /// Writes the header in front of records already at their place in `batch`, with the length and checksum of
    /// that whole batch.
    package mutating func seal(_ batch: UnsafeMutableRawBufferPointer) {
        batchLength = Int32(batch.count - Self.lengthOverhead)
        write(to: batch)
        crc = crc32c(UnsafeRawBufferPointer(rebasing: batch[Self.checksumStart...]))
        batch.storeBigEndian(crc, at: 17)
    }
}

extension RecordBatchHeader {
    /// The header of the batch that fills `bytes`, after checking magic, length and checksum.
    package static func verified(_ bytes: UnsafeRawBufferPointer) throws(RecordFormatError) -> RecordBatchHeader {
        guard let header = RecordBatchHeader(bytes) else {
            // A message of an older format has its magic in the same place and may be shorter than this header.
            if bytes.count > 16, bytes[16] < currentMagic {
                throw .unsupportedMagic(Int8(bytes[16]))
            }
            throw .invalidLength
        }
        guard header.magic == currentMagic else { throw .unsupportedMagic(header.magic) }
        guard header.batchLength >= Int32(byteCount - lengthOverhead), header.totalLength == bytes.count else {
            throw .invalidLength
        }
        let computed = crc32c(bytes.slice(checksumStart..<bytes.count))
        guard computed == header.crc else {
            throw .checksumMismatch(declared: header.crc, computed: computed)
        }
        return header
    }
}
