import RecordFormat

extension Log {
    /// Makes everything appended so far durable, outside the append lock. Returns the end offset that is now durable.
    /// A failure is final: the log's directory goes offline.
    @discardableResult
    package func sync(now: Int64 = 0) throws(LogError) -> Int64 {
        try synchronizing.withLock { () throws(LogError) in
            let plan = try lock.withLock { () throws(LogError) -> SyncPlan in
                try checkUsable()
                do throws(FileSystemError) {
                    return try planSync()
                } catch {
                    health.goOffline(error)
                    throw .storageFailure(error)
                }
            }
            do throws(FileSystemError) {
                for file in plan.files { try file.synchronize() }
                if let directory = plan.directory { try fileSystem.synchronizeDirectory(directory) }
            } catch {
                // The log was deleted meanwhile: its files are elsewhere, which is no failure of the disk.
                if lock.withLock({ state == .closed }) { throw .closed }
                health.goOffline(error)
                throw .storageFailure(error)
            }
            return lock.withLock {
                // What a truncation cut off meanwhile may be written again with other records.
                if plan.truncations == truncations, plan.target > durableOffset { setDurable(plan.target) }
                lastSynchronizedAt = max(now, lastSynchronizedAt)
                return durableOffset
            }
        }
    }

    /// Whether segments were closed that are not on stable storage yet.
    package var hasUnsynchronizedSegments: Bool { lock.withLock { !unsynchronizedSealed.isEmpty } }

    /// Whether `flush.messages` or `flush.ms` ask for a synchronization.
    package func wantsSync(now: Int64) -> Bool {
        lock.withLock {
            let waiting = endOffset - durableOffset
            guard waiting > 0 else { return false }
            return waiting >= configuration.flushMessages
                || (configuration.flushMilliseconds != .max
                    && now.saturatingSubtracting(lastSynchronizedAt) >= configuration.flushMilliseconds)
        }
    }

    private struct SyncPlan {
        var files: [any File]
        var directory: String?
        var target: Int64
        var truncations: Int
    }

    private func planSync() throws(FileSystemError) -> SyncPlan {
        var files: [any File] = []
        for segment in unsynchronizedSealed {
            if segment.isDirty { files.append(segment.file.file) }
            segment.isDirty = false
            if let file = try segment.offsetIndex.takeFileToSynchronize() { files.append(file) }
            if let file = try segment.timeIndex.takeFileToSynchronize() { files.append(file) }
            if let file = try segment.transactionIndex.takeFileToSynchronize() { files.append(file) }
        }
        unsynchronizedSealed.removeAll(keepingCapacity: true)
        if active.isDirty {
            files.append(active.file.file)
            active.isDirty = false
        }
        let directory = directoryIsDirty ? path : nil
        directoryIsDirty = false
        return SyncPlan(files: files, directory: directory, target: endOffset, truncations: truncations)
    }
}
