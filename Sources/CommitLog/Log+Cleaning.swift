import RecordFormat

/// What one compaction looks at, fixed under the log's lock.
struct CleaningPlan {
    struct Item {
        var segment: Segment
        var size: Int64
        /// Where the next segment begins.
        var end: Int64
        var touchedAt: Int64
    }

    var path: String
    var configuration: LogConfiguration
    var truncations: Int
    /// All segments that may be rewritten, from the log's first.
    var segments: [Item]
    /// Everything before was compacted earlier.
    var dirtyStart: Int64

    var end: Int64 { segments.last?.end ?? dirtyStart }

    /// Runs of segments that become one each: together not larger than a segment may be.
    func groups(upTo offset: Int64) -> [[Item]] {
        var groups: [[Item]] = []
        var size: Int64 = 0
        for item in segments where item.segment.baseOffset < offset {
            if let first = groups.last?.first, size + item.size <= configuration.segmentBytes,
                item.end - first.segment.baseOffset <= Int64(Int32.max)
            {
                groups[groups.count - 1].append(item)
                size += item.size
            } else {
                groups.append([item])
                size = item.size
            }
        }
        return groups
    }
}

extension Log {
    /// How much of what could be compacted is dirty, from 0 to 1; nil when there is nothing.
    package func dirtyRatio(now: Int64) -> Double? {
        lock.withLock {
            guard let plan = planCleaning(now: now) else { return nil }
            return Self.dirtyRatio(plan)
        }
    }

    private static func dirtyRatio(_ plan: CleaningPlan) -> Double {
        let dirty = plan.segments.reduce(Int64(0)) { $1.end > plan.dirtyStart ? $0 + $1.size : $0 }
        let total = plan.segments.reduce(Int64(0)) { $0 + $1.size }
        return total > 0 ? Double(dirty) / Double(total) : 0
    }

    /// nil when nothing is to be done. Ends with `endCleaning`.
    func beginCleaning(now: Int64) -> CleaningPlan? {
        lock.withLock {
            guard !isCleaning, let plan = planCleaning(now: now) else { return nil }
            let oldestDirty = plan.segments.first { $0.end > plan.dirtyStart }
            let limit = configuration.maximumCompactionLagMilliseconds
            let isOverdue =
                limit != .max
                && oldestDirty.map { now.saturatingSubtracting($0.segment.firstTimestamp ?? now) > limit } == true
            guard isOverdue || Self.dirtyRatio(plan) >= configuration.minimumCleanableDirtyRatio else { return nil }
            isCleaning = true
            return plan
        }
    }

    func endCleaning() {
        lock.withLock { isCleaning = false }
    }

    private func planCleaning(now: Int64) -> CleaningPlan? {
        guard state == .open, !health.isOffline, configuration.cleanupPolicy.contains(.compact),
            let first = segments.first
        else { return nil }
        // Decided, committed, and below what recovery will walk: a compacted segment may end before the next begins,
        // which recovery takes for lost batches above the recovery point.
        let limit = min(lastStableOffset, persistedRecoveryPoint)
        var items: [CleaningPlan.Item] = []
        for (index, segment) in segments.dropLast().enumerated() {
            let end = upperBound(ofSegment: index)
            guard end <= limit else { break }
            if end > cleanedUpTo, configuration.minimumCompactionLagMilliseconds > 0,
                segment.largestTimestamp > now.saturatingSubtracting(configuration.minimumCompactionLagMilliseconds)
            {
                break
            }
            items.append(
                CleaningPlan.Item(segment: segment, size: segment.size, end: end, touchedAt: segment.touchedAt))
        }
        let dirtyStart = cleanedUpTo > endOffset ? first.baseOffset : max(cleanedUpTo, first.baseOffset)
        guard let last = items.last, last.end > dirtyStart else { return nil }
        return CleaningPlan(
            path: path, configuration: configuration, truncations: truncations, segments: items,
            dirtyStart: dirtyStart)
    }

    /// Whether closed segments could be compacted if only the recovery point were written down.
    package var awaitsCheckpoint: Bool {
        lock.withLock {
            guard state == .open, !health.isOffline, configuration.cleanupPolicy.contains(.compact) else {
                return false
            }
            return segments.indices.dropLast().reversed().lazy.map { self.upperBound(ofSegment: $0) }
                .prefix { $0 > self.persistedRecoveryPoint }.contains { $0 <= self.lastStableOffset }
        }
    }

    /// Where each producer's last sequence number is.
    func lastRecordsOfProducers() -> [Int64: ProducerLastRecord] {
        lock.withLock {
            producers.producers.mapValues {
                ProducerLastRecord(lastOffset: $0.lastDataOffset, producerEpoch: $0.producerEpoch)
            }
        }
    }

    func noteCleaned(upTo offset: Int64) {
        lock.withLock { cleanedUpTo = min(offset, endOffset) }
    }

    /// Puts a compacted segment in the place of those that it was made from. false when the log changed meanwhile.
    ///
    /// The order is what a crash relies on: a `.log.swap` is there only when all of it is durable, and the old
    /// segments go only after that.
    func replace(
        _ old: [Segment], with cleaned: Segment, truncations expected: Int, now: Int64
    ) throws(LogError) -> Bool {
        try storing { () throws(FileSystemError) in
            try cleaned.seal()
            try cleaned.file.file.synchronize()
            try cleaned.offsetIndex.takeFileToSynchronize()?.synchronize()
            try cleaned.timeIndex.takeFileToSynchronize()?.synchronize()
            try cleaned.transactionIndex.takeFileToSynchronize()?.synchronize()
        }
        cleaned.isDirty = false
        return try change { () throws(LogError) in
            guard truncations == expected else { return false }
            guard let index = segments.firstIndex(where: { $0 === old.first }) else { return false }
            return try storing { () throws(FileSystemError) in
                let base = cleaned.baseOffset
                try renameAll(base, from: LogPaths.cleaned, to: LogPaths.swap)
                // A batch less would be a gap that only the compaction explains, so its readers come first.
                for segment in old { try retire(segment, now: now) }
                try fileSystem.synchronizeDirectory(path)
                try renameAll(base, from: LogPaths.swap, to: "")
                unsynchronizedSealed.removeAll { segment in old.contains { $0 === segment } }
                segments.replaceSubrange(index..<index + old.count, with: [cleaned])
                try removeSnapshotsWithoutSegments()
                publish()
                return true
            }
        }
    }

    /// Renames the indexes first and the log last, so that the log's name tells that all are there.
    private func renameAll(_ base: Int64, from: String, to: String) throws(FileSystemError) {
        for suffix in [LogPaths.Suffix.offsetIndex, .timeIndex, .transactionIndex] {
            let source = LogPaths.path(path, base, suffix, from)
            guard try fileSystem.status(of: source) != nil else { continue }
            try fileSystem.rename(source, to: LogPaths.path(path, base, suffix, to))
        }
        try fileSystem.synchronizeDirectory(path)
        try fileSystem.rename(
            LogPaths.path(path, base, .log, from), to: LogPaths.path(path, base, .log, to))
        try fileSystem.synchronizeDirectory(path)
    }

    /// Removes what an unfinished compaction wrote. What cannot be removed now goes at the next start.
    func discardCleaned() {
        let path = directoryPath
        guard let names = try? fileSystem.list(path) else { return }
        for name in names where name.hasSuffix(LogPaths.cleaned) {
            try? fileSystem.removeFile(path + "/" + name)
        }
    }
}
