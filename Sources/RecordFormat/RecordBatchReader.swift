/// Reads the records of batches. Nothing in the bytes is trusted; decompressed content has a limit. Keeps its memory
/// from batch to batch; for one thread at a time.
package final class RecordBatchReader {
    /// Twice Kafka's largest request by default.
    package static let defaultDecompressedLimit = 200 * 1024 * 1024
    private static let keptMemory = 4 * 1024 * 1024

    private let compressor = Compressor()
    private let scratch = ScratchBuffer()
    private let decompressedLimit: Int

    package init(decompressedLimit: Int = RecordBatchReader.defaultDecompressedLimit) {
        self.decompressedLimit = decompressedLimit
    }

    /// The records' bytes of `batch`, decompressed when they are compressed. Valid until the next call.
    package func recordBytes(
        of batch: UnsafeRawBufferPointer, header: RecordBatchHeader
    ) throws(RecordFormatError) -> UnsafeRawBufferPointer {
        guard header.magic == RecordBatchHeader.currentMagic else { throw .unsupportedMagic(header.magic) }
        guard header.totalLength >= RecordBatchHeader.byteCount, header.totalLength <= batch.count else {
            throw .invalidLength
        }
        let encoded = batch.slice(RecordBatchHeader.byteCount..<header.totalLength)
        guard let codec = header.codec else { throw .unknownCodec(header.attributes.codecIdentifier) }
        if codec == .none { return encoded }
        scratch.count = 0
        scratch.shrink(to: Self.keptMemory)
        do {
            try compressor.decompress(encoded, with: codec, limit: decompressedLimit, into: scratch)
        } catch {
            throw .compression(error)
        }
        return scratch.bytes
    }

    /// Calls `body` with each record of the batch that `batch` starts with. The checksum is the caller's to check.
    package func forEachRecord(
        of batch: UnsafeRawBufferPointer, _ body: (RecordView) throws(RecordFormatError) -> Void
    ) throws(RecordFormatError) {
        guard let header = RecordBatchHeader(batch) else { throw .truncated }
        let bytes = try recordBytes(of: batch, header: header)
        guard header.recordCount >= 0 else { throw .recordCountMismatch }
        var cursor = ByteCursor(bytes)
        for _ in 0..<header.recordCount {
            try body(try Self.nextRecord(&cursor, header: header))
        }
        guard cursor.remaining == 0 else { throw .recordCountMismatch }
    }

    /// The records of the batch that `batch` starts with.
    package func records(of batch: UnsafeRawBufferPointer) throws(RecordFormatError) -> [Record] {
        var records: [Record] = []
        try forEachRecord(of: batch) { view throws(RecordFormatError) in
            records.append(try view.copy())
        }
        return records
    }

    private static func nextRecord(
        _ cursor: inout ByteCursor, header: RecordBatchHeader
    ) throws(RecordFormatError) -> RecordView {
        let length = try cursor.varint()
        guard length >= 0 else { throw .negativeLength }
        var record = ByteCursor(try cursor.take(Int(length)))
        _ = try record.byte()
        let timestampDelta = try record.varlong()
        let offsetDelta = try record.varint()
        let key = try record.nullableBytes()
        let value = try record.nullableBytes()
        let headerCount = try record.varint()
        guard headerCount >= 0 else { throw .negativeLength }
        let headersStart = record.position
        for _ in 0..<headerCount {
            guard try record.skipNullableBytes() else { throw .invalidRecord }
            _ = try record.skipNullableBytes()
        }
        guard record.remaining == 0 else { throw .invalidRecord }
        let timestamp =
            header.attributes.contains(.logAppendTime)
            ? header.maxTimestamp : header.baseTimestamp &+ timestampDelta
        return RecordView(
            offset: header.baseOffset &+ Int64(offsetDelta), timestamp: timestamp, key: key, value: value,
            headerCount: headerCount, encodedHeaders: record.bytes.slice(headersStart..<record.position))
    }
}
