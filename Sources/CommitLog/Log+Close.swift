extension Log {
    /// Makes everything durable, the indexes and producers included, and ends the use of the log. After this the
    /// directory can be marked as cleanly shut down.
    package func close(now: Int64) throws(LogError) {
        if lock.withLock({ state != .open }) { return }
        try change { () throws(LogError) in
            try storing { () throws(FileSystemError) in
                if epochsAreDirty { try writeEpochs() }
                try active.seal()
                unsynchronizedSealed.append(active)
                try writeProducerSnapshot(at: endOffset)
                try fileSystem.open(LogPaths.path(path, endOffset, .snapshot), .readWrite).synchronize()
            }
            // What came now would stand behind the snapshot, and in front of a mark that says all is well.
            state = .closing
        }
        try sync(now: now)
        for path in lock.withLock({ pendingDeletions.flatMap(\.paths) }) {
            // What stays is removed at the next start.
            try? fileSystem.removeFileIfPresent(path)
        }
        lock.withLock { state = .closed }
    }

    /// Ends the use of the log without a word to the disk, for a directory that is offline or going away.
    package func abandon() {
        lock.withLock { state = .closed }
    }
}
