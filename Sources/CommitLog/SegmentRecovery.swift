import RecordFormat

/// What opening a data directory found to repair. One entry is one line in the server's log.
package struct RecoveryReport: Equatable, Sendable {
    package enum Reason: Equatable, Sendable {
        /// The last batch is not whole.
        case incompleteBatch
        case invalidBatchHeader
        case checksumMismatch
        /// A batch's offsets are below those before it or outside its segment.
        case offsetsOutOfOrder
        /// The segment ends before the next one begins.
        case missingBatches
        /// The segment follows one that was cut or lost batches.
        case followsCut
        case missingIndex
        case corruptIndex
        case corruptTransactionIndex
        case corruptProducerSnapshot
        case corruptLeaderEpochs
        case corruptCheckpoint
        /// Left behind by an interrupted compaction or deletion.
        case leftover
        /// An interrupted compaction was completed.
        case completedSwap
        /// The log ends before the offset at which it should start.
        case endsBeforeStart
    }

    package struct Entry: Equatable, Sendable {
        package var file: String
        package var keptBytes: Int64
        package var cutBytes: Int64
        package var reason: Reason
    }

    package var entries: [Entry] = []
    /// How many bytes of batches were checked.
    package var scannedBytes: Int64 = 0

    package init() {}

    mutating func add(_ file: String, kept: Int64 = 0, cut: Int64 = 0, _ reason: Reason) {
        entries.append(Entry(file: file, keptBytes: kept, cutBytes: cut, reason: reason))
    }

    mutating func merge(_ other: RecoveryReport) {
        entries += other.entries
        scannedBytes += other.scannedBytes
    }
}

/// Walks all batches of a file and checks each as if the disk had made it up.
enum SegmentRecovery {
    struct Result: Equatable {
        /// Where the last sound batch ends.
        var soundBytes: Int64
        /// Why what follows is not a batch; nil at the end of the file.
        var reason: RecoveryReport.Reason?
    }

    private static let windowLength = 1 << 20

    /// Calls `body` with the header, the position and the bytes of each sound batch from the file's start. Offsets
    /// must ascend from `baseOffset`.
    static func walk(
        _ file: any File, size: Int64, baseOffset: Int64, path: String,
        _ body: (RecordBatchHeader, Int64, UnsafeRawBufferPointer) throws(LogOpenError) -> Void
    ) throws(LogOpenError) -> Result {
        try refuseOldMessages(file, size: size, path: path)
        let window = ScratchBuffer(capacity: Int(min(Int64(windowLength), max(size, 64))))
        var windowStart: Int64 = 0
        var position: Int64 = 0
        var nextOffset = baseOffset
        while position < size {
            let left = size - position
            guard left >= RecordBatchHeader.byteCount else {
                return Result(soundBytes: position, reason: .incompleteBatch)
            }
            var start = Int(position - windowStart)
            func fill(_ needed: Int) throws(LogOpenError) {
                guard window.count - start < needed else { return }
                window.count = 0
                window.reserve(needed)
                let count = Int(min(Int64(window.capacity), left))
                let target = UnsafeMutableRawBufferPointer(rebasing: window.memory[..<count])
                do {
                    window.count = try file.read(into: target, at: position)
                } catch {
                    throw .fileSystem(error)
                }
                windowStart = position
                start = 0
            }
            try fill(RecordBatchHeader.byteCount)
            guard window.count - start >= RecordBatchHeader.byteCount else {
                return Result(soundBytes: position, reason: .incompleteBatch)
            }
            guard let header = RecordBatchHeader(window.bytes.slice(start..<window.count)) else {
                return Result(soundBytes: position, reason: .incompleteBatch)
            }
            guard header.magic == RecordBatchHeader.currentMagic,
                header.totalLength >= RecordBatchHeader.byteCount, header.lastOffsetDelta >= 0,
                header.recordCount >= 0
            else { return Result(soundBytes: position, reason: .invalidBatchHeader) }
            guard Int64(header.totalLength) <= left else {
                return Result(soundBytes: position, reason: .incompleteBatch)
            }
            try fill(header.totalLength)
            guard window.count - start >= header.totalLength else {
                return Result(soundBytes: position, reason: .incompleteBatch)
            }
            let bytes = window.bytes.slice(start..<(start + header.totalLength))
            guard crc32c(bytes.slice(RecordBatchHeader.checksumStart..<bytes.count)) == header.crc else {
                return Result(soundBytes: position, reason: .checksumMismatch)
            }
            guard header.baseOffset >= nextOffset, header.lastOffset >= header.baseOffset,
                header.lastOffset - baseOffset <= Int64(Int32.max)
            else {
                return Result(soundBytes: position, reason: .offsetsOutOfOrder)
            }
            try body(header, position, bytes)
            nextOffset = header.nextOffset
            position += Int64(header.totalLength)
        }
        return Result(soundBytes: position, reason: nil)
    }

    /// Where formats 0 and 1 have the message's magic; before it are the offset (8 bytes), the size of what follows
    /// (4) and a CRC-32 of what follows that (4).
    private static let oldMagicPosition = 16

    /// Throws when the file starts with a message of format 0 or 1. Damage can look like one but for the checksum.
    private static func refuseOldMessages(
        _ file: any File, size: Int64, path: String
    ) throws(LogOpenError) {
        let buffer = ScratchBuffer(capacity: RecordBatchHeader.byteCount)
        func read(_ count: Int64) throws(LogOpenError) {
            buffer.reserve(Int(count))
            do {
                buffer.count = try file.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<Int(count)]), at: 0)
            } catch {
                throw .fileSystem(error)
            }
        }
        try read(min(size, Int64(RecordBatchHeader.byteCount)))
        guard buffer.count > oldMagicPosition else { return }
        let magic: Int8 = buffer.bytes.loadBigEndian(at: oldMagicPosition)
        let length = Int64(buffer.bytes.loadBigEndian(at: 8, as: Int32.self)) + 12
        guard magic == 0 || magic == 1, length > oldMagicPosition, length <= size else { return }
        try read(length)
        guard buffer.count == length else { return }
        var crc = UInt32.max
        for byte in buffer.bytes[oldMagicPosition...] {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
        if ~crc == buffer.bytes.loadBigEndian(at: 12, as: UInt32.self) {
            throw .unsupportedMessageFormat(path: path, magic: magic)
        }
    }
}
