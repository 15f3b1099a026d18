import NIOCore
import RecordFormat

/// Whole batches of one partition as a fetch brought them, waiting for the application: neither checked for damage nor
/// decompressed.
struct FetchedChunk: Sendable {
    /// A slice of the reply.
    var bytes: ByteBuffer
    /// Records before this offset came along in the first batch and were not asked for.
    var startOffset: Int64
    /// Where the next fetch goes on.
    let nextOffset: Int64
    /// The leader's epoch of the last batch, -1 when it is not told.
    let lastEpoch: Int32
    let highWatermark: Int64
    /// The reply's memory, which it keeps.
    let frame: FetchedFrame
    /// nil unless only what was committed is consumed.
    var abortedTransactions: AbortedTransactions?

    var byteCount: Int { bytes.readableBytes }

    /// Takes the whole batches at the start of `bytes`; a broker may cut the last one off. nil when there is no whole one,
    /// as for a partition for which a reply had no room left. Throws `malformedReply` for one that cannot come next.
    init?(
        _ partition: TopicPartition, bytes: ByteBuffer, of frame: FetchedFrame, startOffset: Int64,
        highWatermark: Int64, abortedTransactions: AbortedTransactions?
    ) throws(ClientError) {
        let end = try bytes.withUnsafeReadableBytes { (memory) throws(ClientError) in
            try Self.wholeBatches(memory, partition, startOffset)
        }
        guard end.byteCount > 0 else { return nil }
        self.bytes = bytes
        self.bytes.moveWriterIndex(to: bytes.readerIndex + end.byteCount)
        self.startOffset = startOffset
        nextOffset = end.nextOffset
        lastEpoch = end.lastEpoch
        self.highWatermark = highWatermark
        self.frame = frame
        self.abortedTransactions = abortedTransactions
    }

    private static func wholeBatches(
        _ memory: UnsafeRawBufferPointer, _ partition: TopicPartition, _ startOffset: Int64
    ) throws(ClientError) -> (byteCount: Int, nextOffset: Int64, lastEpoch: Int32) {
        var position = 0
        var next = startOffset
        var epoch: Int32 = -1
        while let header = RecordBatchHeader(memory.slice(position..<memory.count)) {
            guard header.magic == RecordBatchHeader.currentMagic, header.totalLength >= RecordBatchHeader.byteCount
            else {
                throw ClientError(.malformedReply, "\(partition): the broker sent records in an unknown format")
            }
            guard header.totalLength <= memory.count - position else { break }
            guard header.lastOffsetDelta >= 0, header.baseOffset >= 0, header.nextOffset > next else {
                // The first batch holds the offset that was asked for, and each one comes after the one before.
                throw ClientError(
                    .malformedReply, "\(partition): the broker sent offset \(header.lastOffset) where \(next) was next")
            }
            next = header.nextOffset
            epoch = header.partitionLeaderEpoch
            position += header.totalLength
        }
        return (position, next, epoch)
    }
}
