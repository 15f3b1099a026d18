import RecordFormat

/// Batches of one partition as a broker sent them, checked but not decompressed.
package struct FetchedRecords: Sendable {
    package let partition: TopicPartition
    /// Whole batches, one after the other.
    package let bytes: [UInt8]
    /// Records before this offset came along in the first batch and were not asked for.
    package let startOffset: Int64
    /// Where the next fetch goes on.
    package let nextOffset: Int64
    /// The offset after the last record that consumers may see.
    package let highWatermark: Int64
    /// Empty unless only what was committed is read.
    package var abortedTransactions = AbortedTransactions()

    /// Takes the whole batches at the start of `bytes`; a broker may cut the last one off. Throws `malformedReply`
    /// when a batch is damaged, or is not even once whole.
    package init(
        partition: TopicPartition, bytes: [UInt8], startOffset: Int64, highWatermark: Int64
    ) throws(ClientError) {
        var position = 0
        var next = startOffset
        while position < bytes.count {
            let length = try Self.wholeBatchLength(bytes, at: position, partition)
            guard let length else { break }
            do {
                let header = try bytes.withUnsafeBytes {
                    try RecordBatchHeader.verified($0.slice(position..<(position + length)))
                }
                next = max(next, header.nextOffset)
            } catch {
                throw ClientError(
                    .malformedReply, "\(partition): the batch after offset \(next - 1) is damaged: \(error)",
                    nextStep: "check the broker's log files with 'martlet log dump'")
            }
            position += length
        }
        guard position > 0 || bytes.isEmpty else {
            throw ClientError(.malformedReply, "\(partition): the broker sent less than a batch")
        }
        self.partition = partition
        self.bytes = position == bytes.count ? bytes : Array(bytes[..<position])
        self.startOffset = startOffset
        nextOffset = next
        self.highWatermark = highWatermark
    }

    private static func wholeBatchLength(
        _ bytes: [UInt8], at position: Int, _ partition: TopicPartition
    ) throws(ClientError) -> Int? {
        let left = bytes.count - position
        guard left >= RecordBatchHeader.byteCount else { return nil }
        let header = bytes.withUnsafeBytes { RecordBatchHeader($0.slice(position..<$0.count)) }
        guard let header, header.magic == RecordBatchHeader.currentMagic,
            header.totalLength >= RecordBatchHeader.byteCount
        else {
            throw ClientError(.malformedReply, "\(partition): the broker sent records in an unknown format")
        }
        return header.totalLength <= left ? header.totalLength : nil
    }

    /// Calls `body` with each record from `startOffset` on, and without the broker's own control records. The view is
    /// valid during the call only. Return false to stop. Throws `malformedReply`.
    package func forEachRecord(
        with reader: RecordBatchReader, _ body: (RecordView) -> Bool
    ) throws(ClientError) {
        do {
            try bytes.withUnsafeBytes { buffer in
                var position = 0
                var goesOn = true
                var aborted = abortedTransactions
                while goesOn, position < buffer.count {
                    let batch = buffer.slice(position..<buffer.count)
                    guard let header = RecordBatchHeader(batch) else { throw RecordFormatError.truncated }
                    if !(try aborted.leavesOut(header, batch)) {
                        try reader.forEachRecord(of: batch) { record throws(RecordFormatError) in
                            if goesOn, record.offset >= startOffset { goesOn = body(record) }
                        }
                    }
                    position += header.totalLength
                }
            }
        } catch {
            throw ClientError(.malformedReply, "\(partition): a batch after offset \(startOffset) is damaged: \(error)")
        }
    }
}
