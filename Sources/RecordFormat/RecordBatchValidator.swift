/// What a topic demands of the batches that clients send.
package struct RecordBatchRules: Sendable {
    package enum Compression: Equatable, Sendable {
        /// Stored as the producer compressed it.
        case producer
        case codec(CompressionCodec, level: Int?)
    }

    package var compression: Compression
    package var timestampType: TimestampType
    /// How far a record's timestamp may lie behind the broker's clock, milliseconds.
    package var timestampBeforeMaximum: Int64
    /// How far a record's timestamp may lie ahead of the broker's clock, milliseconds.
    package var timestampAfterMaximum: Int64
    /// Whether each record needs a key.
    package var isCompacted: Bool
    /// Internal writers send control batches; clients may not.
    package var allowsControlBatches: Bool

    package init(
        compression: Compression = .producer, timestampType: TimestampType = .createTime,
        timestampBeforeMaximum: Int64 = .max, timestampAfterMaximum: Int64 = 3_600_000, isCompacted: Bool = false,
        allowsControlBatches: Bool = false
    ) {
        self.compression = compression
        self.timestampType = timestampType
        self.timestampBeforeMaximum = timestampBeforeMaximum
        self.timestampAfterMaximum = timestampAfterMaximum
        self.isCompacted = isCompacted
        self.allowsControlBatches = allowsControlBatches
    }
}

/// Why a client's batch is refused.
package struct RecordBatchRejection: Error, Equatable, Sendable {
    /// The protocol's error that says it.
    package enum Reason: Equatable, Sendable {
        case corruptMessage
        case invalidRecord
        case invalidTimestamp
        case unsupportedForMessageFormat
        case unsupportedCompressionType
    }

    package struct RecordError: Equatable, Sendable {
        /// The record's index in the batch.
        package var index: Int32
        package var message: String
    }

    package var reason: Reason
    package var message: String
    /// The records at fault, at most `maximumRecordErrors` of them.
    package var recordErrors: [RecordError] = []

    package static let maximumRecordErrors = 100
}

/// A batch that had to be written anew, in memory of its own.
package final class RewrittenBatch: Sendable {
    private let storage: [UInt8]

    init(_ storage: [UInt8]) {
        self.storage = storage
    }

    package var count: Int { storage.count }

    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try storage.withUnsafeBytes(body)
    }
}

/// What becomes of a batch.
package enum RecordBatchVerdict {
    /// Stored as it came.
    case accepted(RecordBatchHeader)
    /// Stored in another form than it came.
    case rewritten(RecordBatchHeader, RewrittenBatch)
    case rejected(RecordBatchRejection)
}

/// Checks batches as a broker must before it stores them. An ordinary uncompressed batch is checked without an
/// allocation. For one thread at a time.
package final class RecordBatchValidator {
    private let reader: RecordBatchReader
    private let compressor = Compressor()
    private let output = ScratchBuffer()

    package init(decompressedLimit: Int = RecordBatchReader.defaultDecompressedLimit) {
        reader = RecordBatchReader(decompressedLimit: decompressedLimit)
    }

    /// Checks the batch that should fill `bytes`. `now` in milliseconds since the epoch.
    package func validate(
        _ bytes: UnsafeRawBufferPointer, rules: RecordBatchRules, now: Int64
    ) -> RecordBatchVerdict {
        do {
            let header = try RecordBatchHeader.verified(bytes)
            return try validate(bytes, header: header, rules: rules, now: now)
        } catch {
            return .rejected(Self.rejection(for: error))
        }
    }

    private func validate(
        _ bytes: UnsafeRawBufferPointer, header: RecordBatchHeader, rules: RecordBatchRules, now: Int64
    ) throws(RecordFormatError) -> RecordBatchVerdict {
        if let rejection = Self.fault(in: header, rules: rules) { return .rejected(rejection) }
        let records = try reader.recordBytes(of: bytes, header: header)

        let bounds = TimestampBounds(header: header, rules: rules, now: now)
        var walk = RecordWalk(maximumTimestampDelta: .min)
        try walk.run(over: records, count: header.recordCount, bounds: bounds, needsKeys: rules.isCompacted)
        if walk.faults > 0 {
            return .rejected(Self.collectFaults(records, header: header, bounds: bounds, rules: rules))
        }

        var target = header
        let codec: CompressionCodec
        var level: Int?
        switch rules.compression {
        case .producer: codec = header.codec ?? .none
        case .codec(let wanted, let wantedLevel):
            codec = wanted
            level = wantedLevel
        }
        target.attributes = target.attributes.with(codec: codec)
        target.attributes.remove(.deleteHorizon)
        switch rules.timestampType {
        case .createTime:
            target.attributes.remove(.logAppendTime)
            target.maxTimestamp = header.baseTimestamp &+ walk.maximumTimestampDelta
        case .logAppendTime:
            target.attributes.insert(.logAppendTime)
            target.maxTimestamp = now
        }
        if target == header { return .accepted(header) }
        return try rewrite(bytes, records: records, from: header, to: target, codec: codec, level: level)
    }

    /// What the header alone shows to be wrong.
    private static func fault(in header: RecordBatchHeader, rules: RecordBatchRules) -> RecordBatchRejection? {
        guard header.attributes.codecIdentifier <= 4 else {
            return RecordBatchRejection(
                reason: .unsupportedCompressionType,
                message: "Unknown compression type \(header.attributes.codecIdentifier)")
        }
        guard header.recordCount > 0, Int64(header.recordCount) == Int64(header.lastOffsetDelta) + 1 else {
            return RecordBatchRejection(
                reason: .invalidRecord,
                message: "The batch counts \(header.recordCount) records and \(header.lastOffsetDelta) as last offset")
        }
        if header.isControl, !rules.allowsControlBatches {
            return RecordBatchRejection(
                reason: .invalidRecord, message: "Clients are not allowed to write control records")
        }
        if header.hasProducer, !header.isControl, header.baseSequence < 0 || header.producerEpoch < 0 {
            return RecordBatchRejection(
                reason: .invalidRecord,
                message: "Invalid sequence number \(header.baseSequence) or epoch \(header.producerEpoch) "
                    + "with producer id \(header.producerId)")
        }
        if header.isTransactional, !header.hasProducer {
            return RecordBatchRejection(
                reason: .invalidRecord, message: "A transactional batch needs a producer id")
        }
        return nil
    }

    /// Walks a second time, now naming the records at fault.
    private static func collectFaults(
        _ records: UnsafeRawBufferPointer, header: RecordBatchHeader, bounds: TimestampBounds,
        rules: RecordBatchRules
    ) -> RecordBatchRejection {
        var errors: [RecordBatchRejection.RecordError] = []
        var onlyTimestamps = true
        var walk = RecordWalk(maximumTimestampDelta: .min)
        // The first walk ended well, so this one does.
        try? walk.run(
            over: records, count: header.recordCount, bounds: bounds, needsKeys: rules.isCompacted
        ) { fault, index, timestampDelta in
            guard errors.count < RecordBatchRejection.maximumRecordErrors else { return }
            switch fault {
            case .missingKey:
                onlyTimestamps = false
                errors.append(.init(index: index, message: "Compacted topic cannot accept message without key"))
            case .timestampOutOfRange:
                errors.append(
                    .init(
                        index: index,
                        message: "Timestamp \(header.baseTimestamp &+ timestampDelta) of the record at index "
                            + "\(index) is out of range"))
            }
        }
        return RecordBatchRejection(
            reason: onlyTimestamps ? .invalidTimestamp : .invalidRecord,
            message: "One or more records have been rejected", recordErrors: errors)
    }

    private func rewrite(
        _ bytes: UnsafeRawBufferPointer, records: UnsafeRawBufferPointer, from header: RecordBatchHeader,
        to target: RecordBatchHeader, codec: CompressionCodec, level: Int?
    ) throws(RecordFormatError) -> RecordBatchVerdict {
        let body: UnsafeRawBufferPointer
        if header.codec == codec {
            body = bytes.slice(RecordBatchHeader.byteCount..<bytes.count)
        } else {
            output.count = 0
            do {
                try compressor.compress(records, with: codec, level: level, into: output)
            } catch {
                throw .compression(error)
            }
            body = output.bytes
        }
        var target = target
        let length = RecordBatchHeader.byteCount + body.count
        let storage = [UInt8](unsafeUninitializedCapacity: length) { memory, count in
            let batch = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(memory)[..<length])
            UnsafeMutableRawBufferPointer(rebasing: batch[RecordBatchHeader.byteCount...]).copyMemory(from: body)
            target.seal(batch)
            count = length
        }
        output.shrink(to: 1 << 20)
        return .rewritten(target, RewrittenBatch(storage))
    }

    private static func rejection(for error: RecordFormatError) -> RecordBatchRejection {
        switch error {
        case .unsupportedMagic(let magic):
            // Older formats exist and are not stored here; a newer one is damage.
            if magic == 0 || magic == 1 {
                return RecordBatchRejection(
                    reason: .unsupportedForMessageFormat, message: "Message format version \(magic) is not supported")
            }
            return RecordBatchRejection(reason: .corruptMessage, message: "Unknown magic \(magic)")
        case .checksumMismatch(let declared, let computed):
            return RecordBatchRejection(
                reason: .corruptMessage,
                message: "Record is corrupt (stored crc = \(declared), computed crc = \(computed))")
        case .invalidLength:
            return RecordBatchRejection(
                reason: .corruptMessage, message: "The batch's length does not match its bytes")
        case .unknownCodec(let codec):
            return RecordBatchRejection(
                reason: .unsupportedCompressionType, message: "Unknown compression type \(codec)")
        case .compression(.limitExceeded(let limit)):
            return RecordBatchRejection(
                reason: .invalidRecord, message: "The records decompress to more than \(limit) bytes")
        case .compression:
            return RecordBatchRejection(reason: .corruptMessage, message: "The records do not decompress")
        case .truncated, .invalidVarint, .negativeLength, .recordCountMismatch, .invalidRecord, .invalidControlRecord:
            return RecordBatchRejection(
                reason: .invalidRecord, message: "The records do not fill the batch as it declares")
        }
    }
}

/// The timestamp deltas that a batch's records may have.
///
/// Whatever the topic allows, a timestamp is at least -1, which stands for none, and fits 64 bits.
struct TimestampBounds {
    var smallestDelta = Int64.min
    var largestDelta = Int64.max

    init(header: RecordBatchHeader, rules: RecordBatchRules, now: Int64) {
        // The broker's own time replaces the records', so theirs do not matter.
        guard rules.timestampType == .createTime else { return }
        let earliest = max(-1, now.saturatingSubtracting(rules.timestampBeforeMaximum))
        smallestDelta = earliest.saturatingSubtracting(header.baseTimestamp)
        largestDelta = now.saturatingAdding(rules.timestampAfterMaximum).saturatingSubtracting(header.baseTimestamp)
        if header.baseTimestamp > 0 { largestDelta = min(largestDelta, .max - header.baseTimestamp) }
    }
}

/// The walk over a batch's records that finds the faults which concern single records.
struct RecordWalk {
    enum Fault {
        case missingKey
        case timestampOutOfRange
    }

    var maximumTimestampDelta: Int64
    var faults = 0

    /// Throws when the records do not fill `bytes` exactly or their offsets are not 0, 1, 2…; counts the faults of
    /// single records.
    @inline(__always)
    mutating func run(
        over bytes: UnsafeRawBufferPointer, count: Int32, bounds: TimestampBounds, needsKeys: Bool,
        report: ((Fault, Int32, Int64) -> Void)? = nil
    ) throws(RecordFormatError) {
        var cursor = ByteCursor(bytes)
        for index in 0..<count {
            let length = try cursor.varint()
            guard length >= 0, Int(length) <= cursor.remaining else { throw .truncated }
            let end = cursor.position + Int(length)
            _ = try cursor.byte()
            let timestampDelta = try cursor.varlong()
            guard try cursor.varint() == index else { throw .invalidRecord }
            let hasKey = try cursor.skipNullableBytes()
            _ = try cursor.skipNullableBytes()
            let headerCount = try cursor.varint()
            guard headerCount >= 0 else { throw .negativeLength }
            for _ in 0..<headerCount {
                guard try cursor.skipNullableBytes() else { throw .invalidRecord }
                _ = try cursor.skipNullableBytes()
            }
            guard cursor.position == end else { throw .invalidRecord }

            if timestampDelta > maximumTimestampDelta { maximumTimestampDelta = timestampDelta }
            if timestampDelta < bounds.smallestDelta || timestampDelta > bounds.largestDelta {
                faults += 1
                report?(.timestampOutOfRange, index, timestampDelta)
            } else if needsKeys, !hasKey {
                faults += 1
                report?(.missingKey, index, timestampDelta)
            }
        }
        guard cursor.remaining == 0 else { throw .recordCountMismatch }
    }
}
