import RecordFormat

/// What is needed to open a partition's log.
package struct LogOpening: Sendable {
    package var name: PartitionName
    /// The partition's directory, which exists.
    package var path: String
    package var fileSystem: any FileSystem
    package var configuration: LogConfiguration
    /// Everything below was durable at the last checkpoint.
    package var recoveryPoint: Int64
    /// Whether the recovery point comes from a sound checkpoint. If so, no segment above it is compacted, and one that
    /// ends before the next begins has lost batches.
    package var isRecoveryPointKnown: Bool
    /// The start offset at the last checkpoint.
    package var logStartOffset: Int64
    package var wasCleanShutdown: Bool
    /// Milliseconds since the epoch.
    package var now: Int64
    package var health: DirectoryHealth

    package init(
        name: PartitionName, path: String, fileSystem: any FileSystem, configuration: LogConfiguration = .init(),
        recoveryPoint: Int64 = 0, isRecoveryPointKnown: Bool = true, logStartOffset: Int64 = 0,
        wasCleanShutdown: Bool = false, now: Int64,
        health: DirectoryHealth = DirectoryHealth()
    ) {
        self.name = name
        self.path = path
        self.fileSystem = fileSystem
        self.configuration = configuration
        self.recoveryPoint = recoveryPoint
        self.isRecoveryPointKnown = isRecoveryPointKnown
        self.logStartOffset = logStartOffset
        self.wasCleanShutdown = wasCleanShutdown
        self.now = now
        self.health = health
    }
}

extension Log {
    /// Opens the log in a directory, repairing what a crash left behind; an empty directory becomes an empty log.
    package static func open(_ opening: LogOpening) throws(LogOpenError) -> (log: Log, report: RecoveryReport) {
        var recovery = LogRecovery(opening)
        let recovered = try recovery.run()
        return (Log(recovered), recovery.report)
    }
}

/// The parts of an opened log.
struct RecoveredLog {
    var opening: LogOpening
    var segments: [Segment]
    var producers: ProducerStateManager
    var epochs: LeaderEpochCache
    var snapshotOffsets: [Int64]
    var startOffset: Int64
    var endOffset: Int64
    var durableOffset: Int64
}

/// Brings a partition's directory to a state that a log can go on from.
struct LogRecovery {
    private let opening: LogOpening
    private var fileSystem: any FileSystem { opening.fileSystem }
    private var path: String { opening.path }
    private(set) var report = RecoveryReport()
    private var segments: [Segment] = []
    private var snapshotOffsets: [Int64] = []
    private var epochs = LeaderEpochCache()

    init(_ opening: LogOpening) {
        self.opening = opening
    }

    mutating func run() throws(LogOpenError) -> RecoveredLog {
        do throws(FileSystemError) {
            try settleInterruptedWork()
            try readEpochs()
        } catch {
            throw .fileSystem(error)
        }
        try openSegments()
        do throws(FileSystemError) {
            return try finish()
        } catch {
            throw .fileSystem(error)
        }
    }

    // MARK: Left-over files

    /// Completes or discards what a crash interrupted: compactions (`.cleaned`, `.swap`) and deletions.
    private mutating func settleInterruptedWork() throws(FileSystemError) {
        var changed = false
        func remove(_ name: String) throws(FileSystemError) {
            try fileSystem.removeFileIfPresent(path + "/" + name)
            changed = true
        }
        var swapped: [Int64] = []
        let names = try fileSystem.list(path)
        // A swap is whole only when nothing of it is still under construction.
        var unfinished: Set<Int64> = []
        for name in names where name.hasSuffix(LogPaths.cleaned) {
            if let parsed = LogPaths.parse(String(name.dropLast(LogPaths.cleaned.count))) {
                unfinished.insert(parsed.offset)
            }
        }
        for name in names where name.hasSuffix(LogPaths.swap) {
            guard let parsed = LogPaths.parse(String(name.dropLast(LogPaths.swap.count))) else { continue }
            if parsed.suffix == .log, !unfinished.contains(parsed.offset) { swapped.append(parsed.offset) }
        }
        for name in names {
            if name.hasSuffix(LogPaths.deleted) || name.hasSuffix(LogPaths.cleaned) || name.hasSuffix(".tmp") {
                report.add(path + "/" + name, .leftover)
                try remove(name)
            } else if name.hasSuffix(LogPaths.swap) {
                let parsed = LogPaths.parse(String(name.dropLast(LogPaths.swap.count)))
                // An index beside a log that is in place already is built anew.
                if let parsed, swapped.contains(parsed.offset) { continue }
                report.add(path + "/" + name, .leftover)
                try remove(name)
            }
        }
        for offset in swapped.sorted() {
            try completeSwap(offset, names)
            changed = true
        }
        if changed { try fileSystem.synchronizeDirectory(path) }
    }

    /// Puts a compacted segment in the place of those that it was made from.
    private mutating func completeSwap(_ offset: Int64, _ names: [String]) throws(FileSystemError) {
        let swapPath = LogPaths.path(path, offset, .log, LogPaths.swap)
        let file = try fileSystem.open(swapPath, .readWrite)
        let size = try file.size()
        var next = offset
        try BatchScanner.scan(file, 0..<size) { scanner throws(FileSystemError) in
            while let found = try scanner.next() { next = found.header.nextOffset }
        }
        for name in names {
            guard let parsed = LogPaths.parse(name), parsed.suffix != .snapshot else { continue }
            guard parsed.offset == offset || (offset..<max(next, offset)).contains(parsed.offset) else { continue }
            try fileSystem.removeFileIfPresent(path + "/" + name)
        }
        try fileSystem.synchronizeDirectory(path)
        for suffix in [LogPaths.Suffix.offsetIndex, .timeIndex, .transactionIndex, .log] {
            let source = LogPaths.path(path, offset, suffix, LogPaths.swap)
            if try fileSystem.status(of: source) != nil {
                try fileSystem.rename(source, to: LogPaths.path(path, offset, suffix))
            }
        }
        report.add(swapPath, kept: size, .completedSwap)
    }

    private mutating func readEpochs() throws(FileSystemError) {
        let file = path + "/" + LeaderEpochCache.fileName
        guard let bytes = try fileSystem.contents(of: file) else { return }
        if let read = LeaderEpochCache(text: bytes) {
            epochs = read
        } else {
            report.add(file, cut: Int64(bytes.count), .corruptLeaderEpochs)
        }
    }

    // MARK: Segments

    private mutating func openSegments() throws(LogOpenError) {
        var bases: [Int64] = []
        do throws(FileSystemError) {
            let names = try fileSystem.list(path)
            for name in names {
                guard let parsed = LogPaths.parse(name) else { continue }
                switch parsed.suffix {
                case .log: bases.append(parsed.offset)
                case .snapshot: snapshotOffsets.append(parsed.offset)
                case .offsetIndex, .timeIndex, .transactionIndex:
                    guard !names.contains(LogPaths.name(parsed.offset, .log)) else { continue }
                    report.add(path + "/" + name, .leftover)
                    try fileSystem.removeFileIfPresent(path + "/" + name)
                }
            }
        } catch {
            throw .fileSystem(error)
        }
        bases.sort()
        snapshotOffsets.sort()

        // The segment that holds the recovery point and those after it are walked batch by batch.
        let firstToWalk = opening.wasCleanShutdown ? bases.count : bases.lastIndex { $0 <= opening.recoveryPoint } ?? 0
        for (index, base) in bases.enumerated() {
            let upper = index + 1 < bases.count ? bases[index + 1] : nil
            var wasCut = false
            if index >= firstToWalk {
                wasCut = try walkSegment(base)
                if !wasCut, let upper, opening.isRecoveryPointKnown, try segmentEnd() < upper {
                    // Its newest bytes never reached the disk, though the next segment's name did.
                    report.add(segmentPath(base, .log), kept: segments.last?.size ?? 0, .missingBatches)
                    wasCut = true
                }
            } else if try !openSegment(base, isLast: upper == nil) {
                wasCut = try walkSegment(base)
            }
            if wasCut, upper != nil {
                do throws(FileSystemError) {
                    for later in bases[(index + 1)...] { try removeSegment(later, .followsCut) }
                } catch {
                    throw .fileSystem(error)
                }
                break
            }
        }
    }

    private func segmentEnd() throws(LogOpenError) -> Int64 {
        do throws(FileSystemError) {
            return try segments.last?.readTail() ?? 0
        } catch {
            throw .fileSystem(error)
        }
    }

    private func segmentPath(_ base: Int64, _ suffix: LogPaths.Suffix) -> String {
        LogPaths.path(path, base, suffix)
    }

    private mutating func removeSegment(
        _ base: Int64, _ reason: RecoveryReport.Reason
    ) throws(FileSystemError) {
        let size = try fileSystem.status(of: segmentPath(base, .log))?.size ?? 0
        report.add(segmentPath(base, .log), cut: size, reason)
        for suffix in LogPaths.Suffix.allCases where suffix != .snapshot {
            try fileSystem.removeFileIfPresent(segmentPath(base, suffix))
        }
    }

    /// Opens a segment that is whole, trusting its indexes if they look sound. Returns whether they did.
    private mutating func openSegment(_ base: Int64, isLast: Bool) throws(LogOpenError) -> Bool {
        do throws(FileSystemError) {
            let limit = Int(max(opening.configuration.indexMaximumBytes, 64 << 20))
            let file = try fileSystem.open(segmentPath(base, .log), .readWrite)
            let status = try fileSystem.status(of: segmentPath(base, .log))
            let size = try file.size()
            for suffix in [LogPaths.Suffix.offsetIndex, .timeIndex]
            where try fileSystem.status(of: segmentPath(base, suffix)) == nil {
                report.add(segmentPath(base, suffix), .missingIndex)
                return false
            }
            guard
                let offsetIndex = try IndexFile<OffsetIndexEntry>.open(
                    segmentPath(base, .offsetIndex), fileSystem, limit: limit),
                try Self.isSound(offsetIndex.last, file: file, size: size, baseOffset: base)
            else {
                report.add(segmentPath(base, .offsetIndex), .corruptIndex)
                return false
            }
            guard
                let timeIndex = try IndexFile<TimeIndexEntry>.open(
                    segmentPath(base, .timeIndex), fileSystem, limit: limit)
            else {
                report.add(segmentPath(base, .timeIndex), .corruptIndex)
                return false
            }
            guard
                let transactionIndex = try TransactionIndex.open(segmentPath(base, .transactionIndex), fileSystem)
            else {
                report.add(segmentPath(base, .transactionIndex), .corruptTransactionIndex)
                return false
            }
            let segment = Segment(
                baseOffset: base, file: file, size: size, offsetIndex: offsetIndex, timeIndex: timeIndex,
                transactionIndex: transactionIndex, touchedAt: status?.modificationTime ?? opening.now)
            _ = try segment.readTail()
            // Compaction asks how long the oldest record has been waiting.
            if opening.configuration.cleanupPolicy.contains(.compact) { _ = try segment.readFirstTimestamp() }
            if !isLast { try segment.seal() }
            segments.append(segment)
            return true
        } catch {
            throw .fileSystem(error)
        }
    }

    /// The last entry must point at a batch that ends with its offset.
    private static func isSound(
        _ entry: OffsetIndexEntry?, file: any File, size: Int64, baseOffset: Int64
    ) throws(FileSystemError) -> Bool {
        guard let entry else { return true }
        guard entry.position >= 0, Int64(entry.position) < size else { return false }
        return try BatchScanner.scan(file, Int64(entry.position)..<size) { scanner throws(FileSystemError) in
            try scanner.next()?.header.lastOffset == baseOffset + Int64(entry.relativeOffset)
        }
    }

    /// Checks every batch of a segment, cuts it where they end and builds its indexes anew. Returns whether
    /// something was cut.
    private mutating func walkSegment(_ base: Int64) throws(LogOpenError) -> Bool {
        let segment: Segment
        let size: Int64
        do throws(FileSystemError) {
            let file = try fileSystem.open(segmentPath(base, .log), .readWrite)
            size = try file.size()
            segment = Segment(
                baseOffset: base, file: file, size: size,
                offsetIndex: try IndexFile(emptyAt: segmentPath(base, .offsetIndex), fileSystem),
                timeIndex: try IndexFile(emptyAt: segmentPath(base, .timeIndex), fileSystem),
                transactionIndex: try TransactionIndex(emptyAt: segmentPath(base, .transactionIndex), fileSystem),
                touchedAt: try fileSystem.status(of: segmentPath(base, .log))?.modificationTime ?? opening.now)
        } catch {
            throw .fileSystem(error)
        }
        segment.isDirty = true
        // Aborted transactions are found by following the producers through the segment.
        segments.append(segment)
        var producers: ProducerStateManager
        do throws(FileSystemError) {
            producers = try replay(upTo: base)
        } catch {
            throw .fileSystem(error)
        }
        var epochs = epochs
        let interval = opening.configuration.indexIntervalBytes
        let result = try SegmentRecovery.walk(
            segment.file.file, size: size, baseOffset: base, path: segmentPath(base, .log)
        ) { header, position, bytes throws(LogOpenError) in
            segment.noteRebuilt(header, at: position, indexInterval: interval)
            if header.partitionLeaderEpoch > epochs.latestEpoch ?? -1 {
                epochs.assign(epoch: header.partitionLeaderEpoch, startOffset: header.baseOffset)
            }
            let marker = header.isControl ? try? EndTransactionMarker(batch: bytes) : nil
            if let completed = producers.apply(header, marker: marker), completed.isAborted {
                segment.transactionIndex.append(
                    AbortedTransaction(
                        producerId: completed.producerId, firstOffset: completed.firstOffset,
                        lastOffset: completed.lastOffset,
                        lastStableOffset: producers.lastStableOffset(after: completed)))
            }
        }
        self.epochs = epochs
        report.scannedBytes += result.soundBytes
        guard let reason = result.reason else { return false }
        report.add(
            segmentPath(base, .log), kept: result.soundBytes, cut: size - result.soundBytes, reason)
        do throws(FileSystemError) {
            try segment.cut(to: result.soundBytes)
        } catch {
            throw .fileSystem(error)
        }
        return true
    }

    /// The producers at `offset`.
    private mutating func replay(upTo offset: Int64) throws(FileSystemError) -> ProducerStateManager {
        try ProducerReplay(
            path: path, fileSystem: fileSystem, segments: segments.filter { $0.baseOffset < offset },
            snapshotOffsets: snapshotOffsets, startOffset: opening.logStartOffset, endOffset: offset,
            expiration: opening.configuration.producerIdExpirationMilliseconds, now: opening.now
        ).run(&report)
    }

    // MARK: The end

    private mutating func finish() throws(FileSystemError) -> RecoveredLog {
        // A log that was closed cleanly is on the disk as it is, names too; that saves a sync for each log at a start.
        let needsSync = !opening.wasCleanShutdown || segments.isEmpty
        if segments.isEmpty {
            segments = [try Segment(creating: opening.logStartOffset, in: path, fileSystem, now: opening.now)]
        }
        guard var last = segments.last, let first = segments.first else {
            preconditionFailure("a log has a segment")
        }
        var endOffset = try last.readTail()
        var startOffset = max(opening.logStartOffset, first.baseOffset)
        if endOffset < startOffset {
            // Records that were deleted or lost; offsets given out once are not given out again.
            report.add(segmentPath(last.baseOffset, .log), cut: last.size, .endsBeforeStart)
            for segment in segments { try removeSegment(segment.baseOffset, .endsBeforeStart) }
            last = try Segment(creating: startOffset, in: path, fileSystem, now: opening.now)
            segments = [last]
            endOffset = startOffset
        }
        startOffset = min(startOffset, endOffset)
        for segment in segments.dropLast() where segment.offsetIndex.isActive { try segment.seal() }
        try last.unseal()
        // A segment's age counts from its first record, also over a restart.
        _ = try last.readFirstTimestamp()

        for offset in snapshotOffsets where offset > endOffset {
            try fileSystem.removeFileIfPresent(LogPaths.path(path, offset, .snapshot))
        }
        snapshotOffsets.removeAll { $0 > endOffset }
        let producers = try ProducerReplay(
            path: path, fileSystem: fileSystem, segments: segments, snapshotOffsets: snapshotOffsets,
            startOffset: startOffset, endOffset: endOffset,
            expiration: opening.configuration.producerIdExpirationMilliseconds, now: opening.now
        ).run(&report)

        let before = epochs
        epochs.truncateEnd(to: endOffset)
        epochs.truncateStart(to: startOffset)
        let epochFile = path + "/" + LeaderEpochCache.fileName
        let stored = try fileSystem.contents(of: epochFile)
        if epochs != before || (stored == nil ? !epochs.entries.isEmpty : stored != epochs.text()) {
            try fileSystem.replaceContents(of: epochFile, with: epochs.text())
        }
        // What was read may still be in the page cache only, if the process stopped and not the machine.
        if !opening.wasCleanShutdown {
            for segment in segments where segment.isDirty {
                try segment.file.file.synchronize()
                try segment.offsetIndex.takeFileToSynchronize()?.synchronize()
                try segment.timeIndex.takeFileToSynchronize()?.synchronize()
                try segment.transactionIndex.takeFileToSynchronize()?.synchronize()
                segment.isDirty = false
            }
        }
        if needsSync || !report.entries.isEmpty { try fileSystem.synchronizeDirectory(path) }
        last.releaseIndexes()
        return RecoveredLog(
            opening: opening, segments: segments, producers: producers, epochs: epochs,
            snapshotOffsets: snapshotOffsets, startOffset: startOffset, endOffset: endOffset,
            durableOffset: endOffset)
    }
}
