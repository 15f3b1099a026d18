import RecordFormat

/// A record's place in a log.
package struct TimestampedOffset: Equatable, Sendable {
    package var timestamp: Int64
    package var offset: Int64
    package var leaderEpoch: Int32

    package init(timestamp: Int64, offset: Int64, leaderEpoch: Int32) {
        self.timestamp = timestamp
        self.offset = offset
        self.leaderEpoch = leaderEpoch
    }
}

extension Log {
    /// The first record at or after the start whose timestamp is at least `timestamp`; nil when there is none.
    package func offset(
        forTimestamp timestamp: Int64, reader: RecordBatchReader = RecordBatchReader()
    ) throws(LogReadError) -> TimestampedOffset? {
        let (candidates, start) = try searchable()
        for candidate in candidates where candidate.maxTimestamp >= timestamp {
            let found = try firstRecord(in: candidate, from: start, reader) { $0 >= timestamp }
            if let found { return found }
        }
        return nil
    }

    /// The first of the records with the largest timestamp; nil when there are none.
    package func maxTimestamp(
        reader: RecordBatchReader = RecordBatchReader()
    ) throws(LogReadError) -> TimestampedOffset? {
        let (candidates, start) = try searchable()
        guard let largest = candidates.map(\.maxTimestamp).max(), largest >= 0 else { return nil }
        for candidate in candidates where candidate.maxTimestamp == largest {
            if let found = try firstRecord(in: candidate, from: start, reader, where: { $0 == largest }) {
                return found
            }
        }
        return nil
    }

    /// The epoch that is the largest not above `epoch`, and where it ended; nil when nothing is known of it.
    package func endOffset(forEpoch epoch: Int32) -> LeaderEpochCache.Entry? {
        lock.withLock { epochs.endOffset(forEpoch: epoch, logEndOffset: endOffset) }
    }

    /// The epochs and where they began.
    package var leaderEpochs: [LeaderEpochCache.Entry] { lock.withLock { epochs.entries } }

    /// The epoch of the leader that wrote the record at `offset`.
    package func leaderEpoch(at offset: Int64) -> Int32? {
        lock.withLock { epochs.epoch(forOffset: offset) }
    }

    private struct Candidate {
        var segment: Segment
        var size: Int64
        var maxTimestamp: Int64
    }

    private func searchable() throws(LogReadError) -> ([Candidate], start: Int64) {
        try lock.withLock { () throws(LogReadError) in
            if state == .closed { throw .closed }
            if health.isOffline { throw .offline }
            let first = segmentIndex(for: startOffset)
            return (
                segments[first...].map { Candidate(segment: $0, size: $0.size, maxTimestamp: $0.maxTimestamp) },
                startOffset
            )
        }
    }

    private func firstRecord(
        in candidate: Candidate, from start: Int64, _ reader: RecordBatchReader,
        where matches: (Int64) -> Bool
    ) throws(LogReadError) -> TimestampedOffset? {
        let segment = candidate.segment
        // The last entry whose largest timestamp so far does not match yet: nothing before it does.
        let entry = try reading { () throws(FileSystemError) in
            let search = try lock.withLock { () throws(FileSystemError) in
                try segment.timeIndex.beginSearch { !matches($0.timestamp) }
            }
            return try IndexFile.finish(search) { !matches($0.timestamp) }
        }
        let from = max(start, entry.map { segment.baseOffset + Int64($0.relativeOffset) } ?? segment.baseOffset)
        let search = try reading { () throws(FileSystemError) in
            try lock.withLock { () throws(FileSystemError) in try segment.indexedPosition(for: from) }
        }
        let buffer = ScratchBuffer()
        return try reading { () throws(FileSystemError) in
            let position = try Segment.finish(search, offset: from, baseOffset: segment.baseOffset)
            guard position < candidate.size else { return nil }
            return try BatchScanner.scan(segment.file.file, position..<candidate.size) {
                scanner throws(FileSystemError) in
                while let found = try scanner.next() {
                    guard found.header.lastOffset >= start, !found.header.isControl else { continue }
                    // Cheap tests first: no record of the batch is newer than its largest timestamp.
                    guard found.header.maxTimestamp >= 0, matches(found.header.maxTimestamp) else { continue }
                    buffer.count = 0
                    buffer.reserve(found.header.totalLength)
                    buffer.count = try segment.file.file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<found.header.totalLength]),
                        at: found.position)
                    var first: TimestampedOffset?
                    try? reader.forEachRecord(of: buffer.bytes) { record throws(RecordFormatError) in
                        if first == nil, record.offset >= start, matches(record.timestamp) {
                            first = TimestampedOffset(
                                timestamp: record.timestamp, offset: record.offset,
                                leaderEpoch: found.header.partitionLeaderEpoch)
                        }
                    }
                    if let first { return first }
                }
                return nil
            }
        }
    }
}
