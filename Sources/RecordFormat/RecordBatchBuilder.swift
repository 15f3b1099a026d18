/// Puts records together to a batch.
package struct RecordBatchBuilder {
    /// What the header will say. The builder keeps the count, the deltas and the timestamps up to date; the caller
    /// may set any field between the last `append` and `build`.
    package var header: RecordBatchHeader
    private let codec: CompressionCodec
    private let level: Int?
    private var records: [UInt8] = []
    private var record: [UInt8] = []

    package init(
        codec: CompressionCodec = .none, level: Int? = nil, attributes: RecordBatchAttributes = [],
        baseOffset: Int64 = 0, partitionLeaderEpoch: Int32 = -1, producerId: Int64 = -1, producerEpoch: Int16 = -1,
        baseSequence: Int32 = -1
    ) {
        self.codec = codec
        self.level = level
        header = RecordBatchHeader(
            baseOffset: baseOffset, partitionLeaderEpoch: partitionLeaderEpoch,
            attributes: attributes.with(codec: codec), producerId: producerId, producerEpoch: producerEpoch,
            baseSequence: baseSequence)
    }

    package var recordCount: Int { Int(header.recordCount) }

    /// About how long the batch would be, before compression.
    package var uncompressedLength: Int { RecordBatchHeader.byteCount + records.count }

    /// Adds a record at the next offset.
    package mutating func append(
        key: [UInt8]?, value: [UInt8]?, headers: [RecordHeader] = [], timestamp: Int64
    ) {
        key.withOptionalBytes { key in
            value.withOptionalBytes { value in
                startRecord(
                    key: key, value: value, headerCount: headers.count, timestamp: timestamp,
                    offsetDelta: header.recordCount == 0 ? 0 : header.lastOffsetDelta + 1)
            }
        }
        for header in headers {
            record.appendVarint(Int64(header.key.count))
            record.append(contentsOf: header.key)
            record.appendVarint(Int64(header.value?.count ?? -1))
            record.append(contentsOf: header.value ?? [])
        }
        finishRecord()
    }

    /// Adds a record read from another batch, at its own offset, which must be at or after `header.baseOffset` and
    /// after the records before it.
    package mutating func append(_ view: RecordView) {
        startRecord(
            key: view.key, value: view.value, headerCount: Int(view.headerCount), timestamp: view.timestamp,
            offsetDelta: Int32(view.offset - header.baseOffset))
        record.append(contentsOf: view.encodedHeaders)
        finishRecord()
    }

    /// Sets the time that record timestamps are relative to. Without this it is the first record's.
    package mutating func setBaseTimestamp(_ timestamp: Int64) {
        precondition(header.recordCount == 0)
        header.baseTimestamp = timestamp
        hasBaseTimestamp = true
    }

    private var hasBaseTimestamp = false

    private mutating func startRecord(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headerCount: Int, timestamp: Int64,
        offsetDelta: Int32
    ) {
        if header.recordCount == 0 {
            if !hasBaseTimestamp { header.baseTimestamp = timestamp }
            header.maxTimestamp = timestamp
        } else {
            precondition(offsetDelta > header.lastOffsetDelta)
            header.maxTimestamp = max(header.maxTimestamp, timestamp)
        }
        header.recordCount += 1
        header.lastOffsetDelta = offsetDelta
        record.removeAll(keepingCapacity: true)
        record.append(0)
        // Readers add it back the same way; with the broker's timestamps a client's base can be anything.
        record.appendVarint(timestamp &- header.baseTimestamp)
        record.appendVarint(Int64(offsetDelta))
        record.appendNullable(key)
        record.appendNullable(value)
        record.appendVarint(Int64(headerCount))
    }

    private mutating func finishRecord() {
        records.appendVarint(Int64(record.count))
        records.append(contentsOf: record)
    }

    /// The finished batch, with its length and checksum.
    package func build(with compressor: Compressor? = nil) throws(CompressionError) -> [UInt8] {
        if codec == .none { return records.withUnsafeBytes { sealed(body: $0) } }
        let output = ScratchBuffer()
        let compressor = compressor ?? Compressor()
        var failure: CompressionError?
        records.withUnsafeBytes { source in
            do throws(CompressionError) {
                try compressor.compress(source, with: codec, level: level, into: output)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return sealed(body: output.bytes)
    }

    private func sealed(body: UnsafeRawBufferPointer) -> [UInt8] {
        let length = RecordBatchHeader.byteCount + body.count
        return [UInt8](unsafeUninitializedCapacity: length) { target, count in
            let batch = UnsafeMutableRawBufferPointer(target)
            UnsafeMutableRawBufferPointer(rebasing: batch[RecordBatchHeader.byteCount..<length])
                .copyMemory(from: body)
            var header = header
            header.seal(UnsafeMutableRawBufferPointer(rebasing: batch[..<length]))
            count = length
        }
    }
}

extension Optional where Wrapped == [UInt8] {
    fileprivate func withOptionalBytes<Result>(_ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
        guard let bytes = self else { return body(nil) }
        return bytes.withUnsafeBytes { body($0) }
    }
}

extension Array where Element == UInt8 {
    fileprivate mutating func appendNullable(_ bytes: UnsafeRawBufferPointer?) {
        guard let bytes else { return appendVarint(-1) }
        appendVarint(Int64(bytes.count))
        append(contentsOf: bytes)
    }
}
