import RecordFormat

extension Log {
    /// Appends the batches of one tick, as the leader of `leaderEpoch`: checks sequences, assigns offsets, writes.
    /// Every pending batch gets its outcome. `now` in milliseconds since the epoch.
    package func append(_ batches: inout [PendingAppend], leaderEpoch: Int32, now: Int64) {
        AppendScratch.with { scratch in
            lock.withLock {
                var appender = LeaderAppender(
                    log: self, scratch: scratch, leaderEpoch: leaderEpoch, now: now, runStart: batches.startIndex)
                appender.append(&batches)
            }
        }
    }

    /// Appends batches that already have their offsets and epochs, as a follower in this leader epoch. A batch cut at
    /// the end of `bytes` is left out. Returns the new end offset.
    @discardableResult
    package func appendAsFollower(
        _ bytes: UnsafeRawBufferPointer, epoch: Int32 = 0, now: Int64
    ) throws(AppendRefusal) -> Int64 {
        var failure: AppendRefusal?
        AppendScratch.with { scratch in
            lock.withLock {
                do throws(AppendRefusal) {
                    guard authority == .anyone || authority == .follower(epoch: epoch) else { throw .notInThisRole }
                    try appendReplicated(bytes, scratch: scratch, now: now)
                } catch {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
        return endOffset
    }

    private func appendReplicated(
        _ bytes: UnsafeRawBufferPointer, scratch: AppendScratch, now: Int64
    ) throws(AppendRefusal) {
        if let refusal = refusalOfState { throw refusal }
        var position = 0
        var nextOffset = endOffset
        while position < bytes.count {
            let rest = bytes.slice(position..<bytes.count)
            // A fetch may end within a batch.
            guard let header = RecordBatchHeader(rest), header.totalLength <= rest.count else { break }
            let batch = rest.slice(0..<max(0, header.totalLength))
            do throws(AppendRefusal) {
                try checkReplicated(header, batch, nextOffset: nextOffset)
                let marker = try Self.marker(of: header, batch)
                if header.partitionLeaderEpoch > epochs.latestEpoch ?? -1 {
                    // What was gathered comes first: it is of the epoch before.
                    try writeReplicated(scratch, now: now)
                    noteEpoch(header.partitionLeaderEpoch, from: header.baseOffset)
                }
                if !scratch.hasRoom(for: AppendScratch.copyLimit)
                    || shouldRoll(for: header, pendingBytes: scratch.totalLength, now: now)
                {
                    try writeReplicated(scratch, now: now)
                    try rollIfNeeded(for: header, pendingBytes: 0, now: now)
                }
                scratch.add(batch)
                scratch.replicated.append((header, marker))
            } catch {
                // The sound batches before this one stay.
                try writeReplicated(scratch, now: now)
                throw error
            }
            nextOffset = header.nextOffset
            position += header.totalLength
        }
        try writeReplicated(scratch, now: now)
    }

    private func checkReplicated(
        _ header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer, nextOffset: Int64
    ) throws(AppendRefusal) {
        guard header.totalLength >= RecordBatchHeader.byteCount, header.magic == RecordBatchHeader.currentMagic,
            header.baseOffset >= nextOffset, header.lastOffsetDelta >= 0,
            crc32c(batch.slice(RecordBatchHeader.checksumStart..<batch.count)) == header.crc
        else { throw .corruptMessage }
    }

    /// An epoch begins with the next batch. Its file is not written here, on the way of the records: a recovery finds the
    /// epoch in the batches, and no recovery point passes them before the file is written.
    func noteEpoch(_ epoch: Int32, from offset: Int64) {
        epochs.assign(epoch: epoch, startOffset: offset)
        epochsAreDirty = true
        publishEpoch()
    }

    /// Writes the gathered batches at once.
    private func writeReplicated(_ scratch: AppendScratch, now: Int64) throws(AppendRefusal) {
        guard !scratch.isEmpty else { return }
        defer { scratch.reset() }
        try write(scratch, from: endOffset)
        for (header, marker) in scratch.replicated {
            if let completed = producers.apply(header, marker: marker) { noteCompleted(completed) }
            finishWrite(of: header, now: now)
        }
        if let last = scratch.replicated.last?.0 {
            publishTransactions()
            setEnd(last.nextOffset)
        }
    }

    static func marker(
        of header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer
    ) throws(AppendRefusal) -> EndTransactionMarker? {
        guard header.isControl else { return nil }
        do {
            return try EndTransactionMarker(batch: batch)
        } catch {
            throw .corruptMessage
        }
    }

    /// Why nothing can be appended now.
    var refusalOfState: AppendRefusal? {
        if health.isOffline { return .storageFailure }
        return state == .open ? nil : .closed
    }

    /// What a failure means for an append. Anything but a full disk is final for the directory.
    func refusal(after error: FileSystemError) -> AppendRefusal {
        if error.isOutOfResources { return .diskFull }
        health.goOffline(error)
        return .storageFailure
    }

    /// Writes the pieces in `scratch` at the active segment's end. When that fails the file is as before, or the
    /// directory is offline.
    func write(_ scratch: AppendScratch, from offset: Int64) throws(AppendRefusal) {
        let segment = active
        segment.reserve(
            Int64(scratch.totalLength), chunk: configuration.preallocationChunkBytes,
            limit: configuration.segmentBytes, whole: configuration.preallocate)
        do {
            try segment.file.file.writeAll(scratch.piecesToWrite, at: segment.size)
        } catch {
            let refusal = refusal(after: error)
            if refusal == .diskFull {
                do throws(FileSystemError) {
                    try segment.cut(to: segment.size)
                } catch {
                    health.goOffline(error)
                    throw .storageFailure
                }
            }
            throw refusal
        }
    }

    /// Takes note of a batch whose bytes are at the active segment's end.
    func finishWrite(of header: RecordBatchHeader, now: Int64) {
        recent.append(baseOffset: header.baseOffset, position: active.size)
        active.didWrite(header, indexInterval: configuration.indexIntervalBytes, now: now)
        addBytes(header.totalLength)
    }

    func noteCompleted(_ completed: ProducerStateManager.CompletedTransaction) {
        guard completed.isAborted else { return }
        active.transactionIndex.append(
            AbortedTransaction(
                producerId: completed.producerId, firstOffset: completed.firstOffset,
                lastOffset: completed.lastOffset, lastStableOffset: producers.lastStableOffset(after: completed)))
    }

    // MARK: Rolling

    /// Starts a new segment when the batch does not fit the active one. `pendingBytes` are about to be written to
    /// it before.
    func rollIfNeeded(for header: RecordBatchHeader, pendingBytes: Int, now: Int64) throws(AppendRefusal) {
        guard shouldRoll(for: header, pendingBytes: pendingBytes, now: now) else { return }
        do throws(FileSystemError) {
            try roll(at: header.baseOffset, now: now)
        } catch {
            throw refusal(after: error)
        }
    }

    func shouldRoll(for header: RecordBatchHeader, pendingBytes: Int, now: Int64) -> Bool {
        let segment = active
        let size = segment.size + Int64(pendingBytes)
        guard size > 0 else { return false }
        // Indexes hold positions in 32 bits.
        let largest = min(configuration.segmentBytes, Int64(Int32.max))
        if size + Int64(header.totalLength) > largest { return true }
        if !segment.canHold(offset: header.lastOffset) { return true }
        if segment.indexIsFull(maximumBytes: configuration.indexMaximumBytes) { return true }
        // Age counts in the records' time, so that a log written anew from old records is cut as the old one was.
        var limit = configuration.segmentMilliseconds - configuration.segmentJitterMilliseconds
        // The active segment is never compacted, so it must not stay active longer than records may wait for that.
        if configuration.cleanupPolicy.contains(.compact) {
            limit = min(limit, configuration.maximumCompactionLagMilliseconds)
        }
        if let first = segment.firstTimestamp, first >= 0, header.maxTimestamp >= 0 {
            return header.maxTimestamp - first > limit
        }
        return segment.firstTimestamp != nil && now.saturatingSubtracting(segment.touchedAt) > limit
    }

    /// Seals the active segment and starts one at `offset`.
    func roll(at offset: Int64, now: Int64) throws(FileSystemError) {
        let sealed = active
        if sealed.size == 0, sealed.baseOffset == offset { return }
        let created: Segment
        do {
            try seal(sealed, at: offset)
            created = try Segment(creating: offset, in: path, fileSystem, now: now)
        } catch {
            // A full disk is no reason not to go on with the segment there is.
            do {
                try sealed.unseal()
            } catch {
                health.goOffline(error)
            }
            throw error
        }
        unsynchronizedSealed.append(sealed)
        segments.append(created)
        recent.removeAll()
        directoryIsDirty = true
    }

    private func seal(_ segment: Segment, at offset: Int64) throws(FileSystemError) {
        try segment.seal()
        try writeProducerSnapshot(at: offset)
        guard offset <= checkpointedRecoveryPoint else { return }
        // A truncation took the log below its checkpoint.
        try segment.file.file.synchronize()
        try segment.offsetIndex.takeFileToSynchronize()?.synchronize()
        try segment.timeIndex.takeFileToSynchronize()?.synchronize()
        try segment.transactionIndex.takeFileToSynchronize()?.synchronize()
        try fileSystem.synchronizeDirectory(path)
        segment.isDirty = false
    }

    /// Seals the active segment now, if it has records.
    package func roll(now: Int64) throws(LogError) {
        try change { () throws(LogError) in
            try storing { () throws(FileSystemError) in
                if active.size > 0 { try roll(at: endOffset, now: now) }
            }
        }
    }

    // MARK: Epochs

    /// Before a recovery point is written that passes batches of epochs which the file does not name.
    func writeDirtyEpochs() throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            if epochsAreDirty, state == .open { try writeEpochs() }
        }
    }

    func writeEpochs() throws(FileSystemError) {
        try fileSystem.replaceContents(of: path + "/" + LeaderEpochCache.fileName, with: epochs.text())
        epochsAreDirty = false
        publish()
    }
}

/// Appends one tick's batches under the log's lock: gathers runs and writes each at once.
private struct LeaderAppender {
    let log: Log
    let scratch: AppendScratch
    let leaderEpoch: Int32
    let now: Int64
    /// The first batch that belongs to the run not yet written.
    var runStart: Int
    var nextOffset: Int64
    var runTransactions: ([Int64], [ProducerStateManager.CompletedTransaction])
    /// Why a run could not be written. What comes later in the tick is refused too: it may follow what was taken back.
    var failure: AppendRefusal?

    init(log: Log, scratch: AppendScratch, leaderEpoch: Int32, now: Int64, runStart: Int) {
        self.log = log
        self.scratch = scratch
        self.leaderEpoch = leaderEpoch
        self.now = now
        self.runStart = runStart
        nextOffset = log.endOffset
        runTransactions = log.producers.transactions
    }

    mutating func append(_ batches: inout [PendingAppend]) {
        if let refusal = log.refusalOfState ?? refusalOfRole() {
            for index in batches.indices where batches[index].outcome == .pending {
                batches[index].outcome = .refused(refusal)
            }
            return
        }
        if leaderEpoch > log.latestEpoch, batches.contains(where: { $0.outcome == .pending }) {
            log.noteEpoch(leaderEpoch, from: log.endOffset)
        }
        for index in batches.indices where batches[index].outcome == .pending {
            do throws(AppendRefusal) {
                try gather(&batches, index)
            } catch {
                batches[index].outcome = .refused(error)
                if error == .diskFull || error == .storageFailure { failure = failure ?? error }
            }
        }
        writeRun(&batches, end: batches.endIndex)
        log.publishTransactions()
    }

    private func refusalOfRole() -> AppendRefusal? {
        log.authority == .anyone || log.authority == .leader(epoch: leaderEpoch) ? nil : .notInThisRole
    }

    private mutating func gather(_ batches: inout [PendingAppend], _ index: Int) throws(AppendRefusal) {
        if let failure { throw failure }
        var header = batches[index].header
        let bytes = batches[index].bytes
        precondition(header.totalLength == bytes.count, "only validated batches are appended")
        if bytes.count > log.configuration.maximumMessageBytes { throw .messageTooLarge }
        if bytes.count > log.configuration.segmentBytes { throw .recordListTooLarge }
        let marker = try Log.marker(of: header, bytes)
        header.baseOffset = nextOffset
        header.partitionLeaderEpoch = leaderEpoch
        if !scratch.hasRoom(for: bytes.count)
            || log.shouldRoll(for: header, pendingBytes: scratch.totalLength, now: now)
        {
            writeRun(&batches, end: index)
            if let refusal = failure ?? log.refusalOfState { throw refusal }
            header.baseOffset = nextOffset
            try log.rollIfNeeded(for: header, pendingBytes: 0, now: now)
        }

        // After what came before is written or taken back, so that it is checked against what is there.
        switch log.producers.check(header, marker: marker, batches[index].permission) {
        case .accepted: break
        case .refused(let refusal): throw refusal
        case .duplicate(let batch):
            batches[index].outcome = .duplicate(
                baseOffset: batch.firstOffset,
                logAppendTime: header.attributes.contains(.logAppendTime) ? batch.timestamp : -1)
            return
        }

        if header.hasProducer {
            scratch.undos.append(log.producers.undo(for: header))
            if let completed = log.producers.apply(header, marker: marker) {
                scratch.completed.append((completed, log.producers.lastStableOffset(after: completed)))
            }
        }
        scratch.add(bytes, baseOffset: header.baseOffset, leaderEpoch: leaderEpoch)
        batches[index].outcome = .appended(
            baseOffset: header.baseOffset,
            logAppendTime: header.attributes.contains(.logAppendTime) ? header.maxTimestamp : -1)
        nextOffset = header.nextOffset
    }

    /// Writes what was gathered: the batches from `runStart` to `end` that are marked as appended.
    private mutating func writeRun(_ batches: inout [PendingAppend], end: Int) {
        defer {
            runStart = end
            runTransactions = log.producers.transactions
            scratch.reset()
        }
        guard !scratch.isEmpty else { return }
        do throws(AppendRefusal) {
            try log.write(scratch, from: log.endOffset)
        } catch {
            failure = error
            log.producers.restore(scratch.undos, transactions: runTransactions)
            nextOffset = log.endOffset
            for index in runStart..<end {
                switch batches[index].outcome {
                // A duplicate may be one of a batch that is now not in the log.
                case .appended, .duplicate: batches[index].outcome = .refused(error)
                case .pending, .refused: break
                }
            }
            return
        }
        for index in runStart..<end {
            guard case .appended(let baseOffset, _) = batches[index].outcome else { continue }
            var header = batches[index].header
            header.baseOffset = baseOffset
            log.finishWrite(of: header, now: now)
        }
        for (completed, lastStableOffset) in scratch.completed where completed.isAborted {
            log.active.transactionIndex.append(
                AbortedTransaction(
                    producerId: completed.producerId, firstOffset: completed.firstOffset,
                    lastOffset: completed.lastOffset, lastStableOffset: lastStableOffset))
        }
        log.publishTransactions()
        log.setEnd(nextOffset)
    }
}
