import NIOCore
import RecordFormat

/// Makes records out of what a fetch brought: checks it, decompresses it, leaves out what is not to be seen. It runs in the
/// application's task, for one at a time.
final class BatchPreparation: @unchecked Sendable {
    struct Prepared {
        /// nil when there is nothing to see.
        var batch: ConsumerBatch?
        /// Where the partition goes on after it.
        var nextOffset: Int64
        var leaderEpoch: Int32
        /// What was left for the next time, so that not too much is decompressed at once.
        var rest: FetchedChunk?
    }

    /// What is decompressed together, unless a single batch has more.
    private static let decompressedGoal = 1 << 20

    private let checksCRCs: Bool
    private let limit: Int
    private let compressor = Compressor()

    init(checksCRCs: Bool, decompressedLimit: Int) {
        self.checksCRCs = checksCRCs
        limit = decompressedLimit
    }

    /// The records of `chunk` or of its first batches. Throws `malformedReply` when the first one is damaged. Looks at each
    /// record, so that whoever iterates over them meets no damage.
    func prepare(_ chunk: FetchedChunk, of partition: TopicPartition) throws(ClientError) -> Prepared {
        try chunk.bytes.withUnsafeReadableBytes { (memory) throws(ClientError) in
            try prepare(chunk, memory, partition, upTo: memory.count)
        }
    }

    /// A section whose place is known only when nothing is decompressed any more.
    private struct Draft {
        let header: RecordBatchHeader
        /// Where it begins in the fetched or in the decompressed bytes.
        let range: Range<Int>
        let isDecompressed: Bool
        /// Where its batch begins in the chunk.
        let position: Int
    }

    private func prepare(
        _ original: FetchedChunk, _ memory: UnsafeRawBufferPointer, _ partition: TopicPartition, upTo end: Int
    ) throws(ClientError) -> Prepared {
        var chunk = original
        var drafts: [Draft] = []
        var scratch: ScratchBuffer?
        var position = 0
        var next = chunk.startOffset
        var epoch: Int32 = -1
        while position < end, (scratch?.count ?? 0) < Self.decompressedGoal {
            let batch = memory.slice(position..<memory.count)
            guard let header = RecordBatchHeader(batch) else {
                preconditionFailure("the chunk was cut into whole batches")
            }
            do throws(RecordFormatError) {
                if let draft = try draft(header, batch, at: position, &chunk, &scratch) { drafts.append(draft) }
            } catch {
                // What comes before a damaged one is as good as ever.
                if position > 0 { break }
                throw ClientError(
                    .malformedReply, "\(partition): the batch at offset \(header.baseOffset) is damaged: \(error)",
                    nextStep: "check the broker's log files with 'martlet log dump', or seek beyond it")
            }
            position += header.totalLength
            next = header.nextOffset
            epoch = header.partitionLeaderEpoch
        }
        let sections = drafts.map { draft in section(draft, memory, scratch) }
        var prepared = Prepared(batch: nil, nextOffset: next, leaderEpoch: epoch, rest: nil)
        var walk = RecordWalk(startOffset: chunk.startOffset)
        for (section, draft) in zip(sections, drafts) where !walk.walk(section) {
            if draft.position > 0 { return try prepare(original, memory, partition, upTo: draft.position) }
            throw ClientError(
                .malformedReply,
                "\(partition): the batch at offset \(section.baseOffset) has records that are none",
                nextStep: "check the broker's log files with 'martlet log dump', or seek beyond it")
        }
        if walk.count > 0 {
            prepared.batch = ConsumerBatch(
                storage: RecordStorage(partition, sections: sections, frame: chunk.bytes, decompressed: scratch),
                firstOffset: walk.first, lastOffset: walk.last, nextOffset: next, highWatermark: chunk.highWatermark,
                count: walk.count)
        }
        if position < memory.count {
            var rest = chunk
            rest.bytes.moveReaderIndex(forwardBy: position)
            rest.startOffset = next
            prepared.rest = rest
        }
        return prepared
    }

    private func draft(
        _ header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer, at position: Int, _ chunk: inout FetchedChunk,
        _ scratch: inout ScratchBuffer?
    ) throws(RecordFormatError) -> Draft? {
        if checksCRCs {
            let computed = crc32c(batch.slice(RecordBatchHeader.checksumStart..<header.totalLength))
            guard computed == header.crc else { throw .checksumMismatch(declared: header.crc, computed: computed) }
        }
        if try chunk.abortedTransactions?.leavesOut(header, batch) ?? header.isControl { return nil }
        guard let codec = header.codec else { throw .unknownCodec(header.attributes.codecIdentifier) }
        guard header.recordCount >= 0 else { throw .recordCountMismatch }
        if header.recordCount == 0 { return nil }
        guard codec != .none else {
            return Draft(
                header: header, range: position + RecordBatchHeader.byteCount..<position + header.totalLength,
                isDecompressed: false, position: position)
        }
        let output = scratch ?? ScratchBuffer()
        scratch = output
        let start = output.count
        do throws(CompressionError) {
            try compressor.decompress(
                batch.slice(RecordBatchHeader.byteCount..<header.totalLength), with: codec, limit: limit, into: output)
        } catch {
            throw .compression(error)
        }
        return Draft(header: header, range: start..<output.count, isDecompressed: true, position: position)
    }

    private func section(
        _ draft: Draft, _ memory: UnsafeRawBufferPointer, _ scratch: ScratchBuffer?
    ) -> RecordStorage.Section {
        let header = draft.header
        let bytes = draft.isDecompressed ? scratch?.bytes : memory
        guard let base = bytes?.baseAddress else { preconditionFailure("a section has bytes") }
        return RecordStorage.Section(
            start: base + draft.range.lowerBound, end: base + draft.range.upperBound, baseOffset: header.baseOffset,
            baseTimestamp: header.baseTimestamp,
            appendTime: header.attributes.contains(.logAppendTime) ? header.maxTimestamp : nil,
            lastOffset: header.lastOffset, recordCount: header.recordCount, leaderEpoch: header.partitionLeaderEpoch)
    }
}

/// Goes over records to see that they are whole and in order, and counts those that were asked for.
private struct RecordWalk {
    let startOffset: Int64
    var count = 0
    var first: Int64 = -1
    var last: Int64 = -1

    mutating func walk(_ section: RecordStorage.Section) -> Bool {
        var position = section.start
        var previous = section.baseOffset - 1
        for _ in 0..<section.recordCount {
            guard let layout = RecordLayout(&position, end: section.end, checksHeaders: true) else { return false }
            let offset = section.baseOffset &+ Int64(layout.offsetDelta)
            guard offset > previous, offset <= section.lastOffset else { return false }
            previous = offset
            if offset >= startOffset {
                if count == 0 { first = offset }
                last = offset
                count += 1
            }
        }
        return position == section.end
    }
}
