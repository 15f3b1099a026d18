extension Log {
    /// Removes the records from `offset` on, as a follower that had other records than its leader. A batch that only
    /// partly lies below goes wholly. Returns the end offset.
    @discardableResult
    package func truncate(to offset: Int64, asFollowerIn epoch: Int32? = nil, now: Int64) throws(LogError) -> Int64 {
        try synchronizing.withLock { () throws(LogError) in
            try change { () throws(LogError) in
                try checkFollower(epoch)
                guard offset >= 0 else { throw .offsetOutOfRange(start: startOffset, end: endOffset) }
                guard offset < endOffset else {
                    // An epoch is noted before its first batch. Where that never came, the leader would be told of an
                    // epoch that it does not have, again and again.
                    if epochs.truncateEnd(to: endOffset) {
                        try storing { () throws(FileSystemError) in try writeEpochs() }
                        publish()
                    }
                    return endOffset
                }
                try storing { () throws(FileSystemError) in
                    if offset < segments[0].baseOffset {
                        try restartEmpty(at: offset, now: now)
                    } else {
                        try cut(to: offset, now: now)
                    }
                }
                return endOffset
            }
        }
    }

    /// Removes everything and goes on at the offset, as a follower whose leader has nothing of what it would need next.
    package func restart(at offset: Int64, asFollowerIn epoch: Int32? = nil, now: Int64) throws(LogError) {
        try synchronizing.withLock { () throws(LogError) in
            try change { () throws(LogError) in
                try checkFollower(epoch)
                try storing { () throws(FileSystemError) in try restartEmpty(at: offset, now: now) }
            }
        }
    }

    /// What a follower does late must not reach a log that this node leads by now.
    private func checkFollower(_ epoch: Int32?) throws(LogError) {
        guard let epoch, authority != .anyone else { return }
        guard authority == .follower(epoch: epoch) else { throw .notInThisRole }
    }

    private func cut(to offset: Int64, now: Int64) throws(FileSystemError) {
        truncations += 1
        while segments.count > 1, active.baseOffset >= offset {
            let last = segments.removeLast()
            unsynchronizedSealed.removeAll { $0 === last }
            try remove(last)
        }
        unsynchronizedSealed.removeAll { $0 === active }
        recent.removeAll()
        try active.unseal()
        _ = try active.truncate(to: offset)
        setEnd(max(try active.readTail(), active.baseOffset))
        if startOffset > endOffset { setStart(endOffset) }
        cleanedUpTo = min(cleanedUpTo, endOffset)
        persistedRecoveryPoint = min(persistedRecoveryPoint, endOffset)
        if epochs.truncateEnd(to: endOffset) { try writeEpochs() }
        try rebuildProducers(now: now)
        // What comes next must not be mistaken for what was here before.
        try active.file.file.synchronize()
        try fileSystem.synchronizeDirectory(path)
        publish()
    }

    private func restartEmpty(at offset: Int64, now: Int64) throws(FileSystemError) {
        truncations += 1
        recent.removeAll()
        unsynchronizedSealed.removeAll()
        // From the newest, so that an interruption leaves no gap.
        for segment in segments.reversed() { try remove(segment) }
        for snapshot in snapshotOffsets {
            try fileSystem.removeFileIfPresent(LogPaths.path(path, snapshot, .snapshot))
        }
        snapshotOffsets.removeAll()
        segments = [try Segment(creating: offset, in: path, fileSystem, now: now)]
        producers = ProducerStateManager()
        cleanedUpTo = 0
        persistedRecoveryPoint = 0
        epochs.clear()
        try writeEpochs()
        try fileSystem.synchronizeDirectory(path)
        setEnd(offset)
        setDurable(offset)
        resetStart(to: offset)
        publish()
    }

    private func remove(_ segment: Segment) throws(FileSystemError) {
        for suffix in LogPaths.Suffix.allCases where suffix != .snapshot {
            try fileSystem.removeFileIfPresent(LogPaths.path(path, segment.baseOffset, suffix))
        }
        directoryIsDirty = true
    }
}
