import RecordFormat

/// What a round of retention removed.
package struct RetentionResult: Equatable, Sendable {
    package var deletedSegments = 0
    package var deletedBytes: Int64 = 0

    package init() {}
}

extension Log {
    /// Removes segments that are too old, too many, or wholly below the start offset, the oldest first; only those
    /// below the high watermark. Their files go after `file.delete.delay.ms`, with `deletePendingFiles`.
    @discardableResult
    package func applyRetention(now: Int64) throws(LogError) -> RetentionResult {
        try change { () throws(LogError) in
            guard !isCleaning else { return RetentionResult() }
            return try storing { () throws(FileSystemError) in try retain(now: now) }
        }
    }

    private func retain(now: Int64) throws(FileSystemError) -> RetentionResult {
        let deletes = configuration.cleanupPolicy.contains(.delete)
        var excess = deletes && configuration.retentionBytes >= 0 ? size - configuration.retentionBytes : 0
        var count = 0
        var bytes: Int64 = 0
        for (index, segment) in segments.enumerated() {
            let isActive = index == segments.count - 1
            let upper = upperBound(ofSegment: index)
            guard upper <= highWatermark, !isActive || segment.size > 0 else { break }
            let isBelowStart = !isActive && upper <= startOffset
            let isTooOld =
                deletes && configuration.retentionMilliseconds >= 0
                && now.saturatingSubtracting(segment.largestTimestamp) > configuration.retentionMilliseconds
            let isTooMuch = excess > 0 && excess - segment.size >= 0
            guard isBelowStart || isTooOld || isTooMuch else { break }
            excess -= segment.size
            count += 1
            bytes += segment.size
        }
        guard count > 0 else { return RetentionResult() }
        // Something must be left to append to.
        if count == segments.count {
            do {
                try roll(at: endOffset, now: now)
            } catch {
                guard error.isOutOfResources else { throw error }
                count -= 1
                bytes -= active.size
                guard count > 0 else { return RetentionResult() }
            }
        }
        let newStart = max(startOffset, segments[count].baseOffset)
        moveStart(to: newStart)
        try removeFirstSegments(count, now: now)
        var result = RetentionResult()
        result.deletedSegments = count
        result.deletedBytes = bytes
        return result
    }

    /// Makes records below `offset` unreadable, as DeleteRecords asks. Whole segments of them go at once. Returns the
    /// start offset.
    @discardableResult
    package func deleteRecords(before offset: Int64, now: Int64) throws(LogError) -> Int64 {
        try change { () throws(LogError) in
            guard offset >= 0, offset <= highWatermark else {
                throw .offsetOutOfRange(start: startOffset, end: highWatermark)
            }
            guard offset > startOffset else { return startOffset }
            try storing { () throws(FileSystemError) in
                moveStart(to: offset)
                guard !isCleaning else { return }
                var count = 0
                while count + 1 < segments.count, segments[count + 1].baseOffset <= offset { count += 1 }
                if count > 0 { try removeFirstSegments(count, now: now) }
            }
            return startOffset
        }
    }

    /// The epochs' file follows later: opening the log cuts them at its start all the same, and nobody should wait for
    /// the disk under the lock.
    private func moveStart(to offset: Int64) {
        guard offset > startOffset else { return }
        setStart(offset)
        if epochs.truncateStart(to: offset) { epochsAreDirty = true }
    }

    private func removeFirstSegments(_ count: Int, now: Int64) throws(FileSystemError) {
        let removed = Array(segments[..<count])
        segments.removeFirst(count)
        unsynchronizedSealed.removeAll { segment in removed.contains { $0 === segment } }
        for segment in removed { try retire(segment, now: now) }
        try removeSnapshotsWithoutSegments()
        publish()
    }

    /// Marks a segment's files as deleted; readers that have them open go on.
    func retire(_ segment: Segment, now: Int64) throws(FileSystemError) {
        var paths: [String] = []
        for suffix in try segment.existingSuffixes(fileSystem, in: path)
        where suffix != .snapshot {
            let source = LogPaths.path(path, segment.baseOffset, suffix)
            try fileSystem.rename(source, to: source + LogPaths.deleted)
            paths.append(source + LogPaths.deleted)
        }
        directoryIsDirty = true
        pendingDeletions.append(
            PendingDeletion(paths: paths, due: now.saturatingAdding(configuration.fileDeleteDelayMilliseconds)))
    }

    /// Removes the files whose delay is over.
    package func deletePendingFiles(now: Int64) throws(LogError) {
        let due: [String] = try change { () throws(LogError) in
            let paths = pendingDeletions.filter { $0.due <= now }.flatMap(\.paths)
            pendingDeletions.removeAll { $0.due <= now }
            return paths
        }
        for path in due {
            do {
                try fileSystem.removeFileIfPresent(path)
            } catch {
                health.goOffline(error)
                throw .storageFailure(error)
            }
        }
    }
}
