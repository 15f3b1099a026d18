import RecordFormat

/// One piece of a log: its batches and their indexes. Under its log's lock.
final class Segment {
    let baseOffset: Int64
    let file: SegmentFile
    private(set) var offsetIndex: IndexFile<OffsetIndexEntry>
    private(set) var timeIndex: IndexFile<TimeIndexEntry>
    let transactionIndex: TransactionIndex
    private(set) var size: Int64
    private(set) var maxTimestamp: Int64 = -1
    private(set) var offsetOfMaxTimestamp: Int64 = -1
    /// The first batch's largest timestamp, from which the segment's age is counted; nil when not known yet.
    private(set) var firstTimestamp: Int64?
    /// When the segment was made or last changed, for those without timestamps.
    private(set) var touchedAt: Int64
    private var bytesSinceIndexEntry: Int64 = 0
    private var preallocatedEnd: Int64 = 0
    /// Whether the file has bytes that were not synchronized.
    var isDirty = false

    /// A new, empty segment.
    init(
        creating baseOffset: Int64, in directory: String, _ fileSystem: any FileSystem, ending: String = "",
        now: Int64
    ) throws(FileSystemError) {
        self.baseOffset = baseOffset
        func path(_ suffix: LogPaths.Suffix) -> String { LogPaths.path(directory, baseOffset, suffix, ending) }
        offsetIndex = try IndexFile(emptyAt: path(.offsetIndex), fileSystem)
        timeIndex = try IndexFile(emptyAt: path(.timeIndex), fileSystem)
        transactionIndex = try TransactionIndex(emptyAt: path(.transactionIndex), fileSystem)
        file = SegmentFile(baseOffset: baseOffset, file: try fileSystem.open(path(.log), .replace))
        size = 0
        touchedAt = now
        isDirty = true
        if ending.isEmpty { releaseIndexes() }
    }

    func releaseIndexes() {
        offsetIndex.releaseFile()
        timeIndex.releaseFile()
    }

    /// A segment from its opened parts.
    init(
        baseOffset: Int64, file: any File, size: Int64, offsetIndex: IndexFile<OffsetIndexEntry>,
        timeIndex: IndexFile<TimeIndexEntry>, transactionIndex: TransactionIndex, touchedAt: Int64
    ) {
        self.baseOffset = baseOffset
        self.file = SegmentFile(baseOffset: baseOffset, file: file)
        self.size = size
        self.offsetIndex = offsetIndex
        self.timeIndex = timeIndex
        self.transactionIndex = transactionIndex
        self.touchedAt = touchedAt
        if let last = timeIndex.last {
            maxTimestamp = last.timestamp
            offsetOfMaxTimestamp = baseOffset + Int64(last.relativeOffset)
        }
    }

    /// The time of the newest record, or of the last change when the records have no times.
    var largestTimestamp: Int64 { maxTimestamp >= 0 ? maxTimestamp : touchedAt }

    // MARK: Appending

    /// Whether offsets up to `offset` can be told from the base in 32 bits, as the indexes do.
    func canHold(offset: Int64) -> Bool {
        offset - baseOffset <= Int64(Int32.max)
    }

    /// Reserves space so that `count` more bytes need no new blocks: as much again as there is, at most `chunk`, so
    /// that small logs stay small. Only a saving: failures show at the write.
    func reserve(_ count: Int64, chunk: Int64, limit: Int64, whole: Bool) {
        guard size + count > preallocatedEnd, chunk > 0 || whole else { return }
        let ahead = whole ? limit : min(chunk, max(64 << 10, size))
        let end = max(size + count, min(limit, size + count + ahead))
        // One that fails is not tried again for the same space.
        try? file.file.preallocate(from: max(size, preallocatedEnd), count: end - max(size, preallocatedEnd))
        preallocatedEnd = end
    }

    /// Takes note of a batch that was written at the segment's end. `header` has its final offsets.
    func didWrite(_ header: RecordBatchHeader, indexInterval: Int64, now: Int64) {
        note(header, at: size, indexInterval: indexInterval)
        size += Int64(header.totalLength)
        touchedAt = now
        isDirty = true
    }

    private func note(_ header: RecordBatchHeader, at position: Int64, indexInterval: Int64) {
        if firstTimestamp == nil { firstTimestamp = header.maxTimestamp }
        if header.maxTimestamp > maxTimestamp {
            maxTimestamp = header.maxTimestamp
            offsetOfMaxTimestamp = header.lastOffset
        }
        if bytesSinceIndexEntry > indexInterval {
            // An entry that cannot be written now stays in memory and is written later.
            try? offsetIndex.append(
                OffsetIndexEntry(
                    relativeOffset: Int32(header.lastOffset - baseOffset), position: Int32(position)))
            noteTimestamp()
            bytesSinceIndexEntry = 0
        }
        bytesSinceIndexEntry += Int64(header.totalLength)
    }

    private func noteTimestamp() {
        guard maxTimestamp >= 0 else { return }
        try? timeIndex.append(
            TimeIndexEntry(timestamp: maxTimestamp, relativeOffset: Int32(offsetOfMaxTimestamp - baseOffset)))
    }

    /// Counts for the roll by size of indexes.
    func indexIsFull(maximumBytes: Int64) -> Bool {
        Int64(offsetIndex.count + 1) * Int64(OffsetIndexEntry.byteCount) > maximumBytes
            || Int64(timeIndex.count + 1) * Int64(TimeIndexEntry.byteCount) > maximumBytes
    }

    /// Ends the appending: the indexes are written, unused space is given back.
    func seal() throws(FileSystemError) {
        if preallocatedEnd > size {
            try file.file.truncate(to: size)
            preallocatedEnd = size
        }
        noteTimestamp()
        try offsetIndex.seal()
        try timeIndex.seal()
        try transactionIndex.write()
    }

    /// Opens a sealed segment for appending again.
    func unseal() throws(FileSystemError) {
        try offsetIndex.load()
        try timeIndex.load()
    }

    // MARK: Searching

    /// The last indexed position at or before the batch with `offset`.
    func indexedPosition(for offset: Int64) throws(FileSystemError) -> IndexFile<OffsetIndexEntry>.Search {
        try offsetIndex.beginSearch { $0.relativeOffset <= offset - baseOffset }
    }

    static func finish(
        _ search: IndexFile<OffsetIndexEntry>.Search, offset: Int64, baseOffset: Int64
    ) throws(FileSystemError) -> Int64 {
        let entry = try IndexFile.finish(search) { $0.relativeOffset <= offset - baseOffset }
        return Int64(entry?.position ?? 0)
    }

    /// The first batch that ends at or after `offset`.
    func batch(at offset: Int64) throws(FileSystemError) -> BatchScanner.Found? {
        let start = try Self.finish(try indexedPosition(for: offset), offset: offset, baseOffset: baseOffset)
        return try Self.batch(at: offset, in: file.file, start..<size)
    }

    static func batch(
        at offset: Int64, in file: any File, _ range: Range<Int64>
    ) throws(FileSystemError) -> BatchScanner.Found? {
        guard !range.isEmpty else { return nil }
        return try BatchScanner.scan(file, range) { scanner throws(FileSystemError) in
            while let found = try scanner.next() {
                if found.header.lastOffset >= offset { return found }
            }
            return nil
        }
    }

    /// Calls `body` with each batch's header from the one that holds `offset`, until it returns false.
    func forEachBatch(
        from offset: Int64, _ body: (BatchScanner.Found) throws(FileSystemError) -> Bool
    ) throws(FileSystemError) {
        let start = try Self.finish(try indexedPosition(for: offset), offset: offset, baseOffset: baseOffset)
        guard start < size else { return }
        try BatchScanner.scan(file.file, start..<size) { scanner throws(FileSystemError) in
            while let found = try scanner.next() {
                if found.header.lastOffset < offset { continue }
                if try !body(found) { return }
            }
        }
    }

    // MARK: Opening

    /// Reads what the indexes do not say of the bytes after the last indexed batch: the next offset, and the largest
    /// timestamp.
    func readTail() throws(FileSystemError) -> Int64 {
        var next = baseOffset
        let start = Int64(offsetIndex.last?.position ?? 0)
        bytesSinceIndexEntry = 0
        guard start < size else { return next }
        try BatchScanner.scan(file.file, start..<size) { scanner throws(FileSystemError) in
            while let found = try scanner.next() {
                next = found.header.nextOffset
                bytesSinceIndexEntry += Int64(found.header.totalLength)
                if found.header.maxTimestamp > maxTimestamp {
                    maxTimestamp = found.header.maxTimestamp
                    offsetOfMaxTimestamp = found.header.lastOffset
                }
            }
        }
        return next
    }

    /// The time from which the segment's age counts.
    func readFirstTimestamp() throws(FileSystemError) -> Int64? {
        if let firstTimestamp { return firstTimestamp }
        guard size > 0 else { return nil }
        firstTimestamp = try BatchScanner.scan(file.file, 0..<size) { scanner throws(FileSystemError) in
            try scanner.next()?.header.maxTimestamp
        }
        return firstTimestamp
    }

    /// Takes note of a batch found while the segment is walked anew.
    func noteRebuilt(_ header: RecordBatchHeader, at position: Int64, indexInterval: Int64) {
        note(header, at: position, indexInterval: indexInterval)
    }

    // MARK: Cutting

    /// Cuts the file to `newSize`, where a batch ends. The indexes are not touched.
    func cut(to newSize: Int64) throws(FileSystemError) {
        try file.file.truncate(to: newSize)
        size = newSize
        preallocatedEnd = newSize
        isDirty = true
    }

    /// Removes the batches from the one that holds `offset` on. Returns how many bytes went.
    func truncate(to offset: Int64) throws(FileSystemError) -> Int64 {
        guard let found = try batch(at: offset) else { return 0 }
        let removed = size - found.position
        try unseal()
        try offsetIndex.truncate { Int64($0.position) < found.position }
        try timeIndex.truncate { $0.relativeOffset < found.header.baseOffset - baseOffset }
        try transactionIndex.truncate(to: offset)
        try cut(to: found.position)
        maxTimestamp = timeIndex.last?.timestamp ?? -1
        offsetOfMaxTimestamp = timeIndex.last.map { baseOffset + Int64($0.relativeOffset) } ?? -1
        if size == 0 { firstTimestamp = nil }
        _ = try readTail()
        return removed
    }

    /// The files that this segment has, by their names' suffixes.
    func existingSuffixes(_ fileSystem: any FileSystem, in directory: String) throws(FileSystemError)
        -> [LogPaths.Suffix]
    {
        var suffixes: [LogPaths.Suffix] = []
        for suffix in LogPaths.Suffix.allCases
        where try fileSystem.status(of: LogPaths.path(directory, baseOffset, suffix)) != nil {
            suffixes.append(suffix)
        }
        return suffixes
    }
}
