import RecordFormat

extension Log {
    /// The producers that the log remembers, for DescribeProducers.
    package func activeProducers() -> [ProducerState] {
        lock.withLock { producers.producers.values.sorted { $0.producerId < $1.producerId } }
    }

    /// Whether a transaction of this producer and epoch is open here, so that a batch of it needs no verification.
    package func hasOpenTransaction(producerId: Int64, producerEpoch: Int16) -> Bool {
        lock.withLock { producers.hasOpenTransaction(producerId: producerId, producerEpoch: producerEpoch) }
    }

    /// Transactions with records in the offsets `from..<to` that were aborted, by the offset of their markers.
    package func abortedTransactions(from: Int64, to: Int64) -> [AbortedTransaction] {
        lock.withLock {
            guard state == .open else { return [] }
            var found: [AbortedTransaction] = []
            for segment in segments[segmentIndex(for: from)...] {
                for transaction in segment.transactionIndex.entries {
                    if transaction.lastOffset >= from, transaction.firstOffset < to { found.append(transaction) }
                    // Every transaction that began before was decided at this point.
                    if transaction.lastStableOffset >= to { return found }
                }
            }
            return found
        }
    }

    /// Forgets producers that have been silent for too long.
    package func expireProducers(now: Int64) {
        lock.withLock {
            producers.expire(now: now, expiration: configuration.producerIdExpirationMilliseconds)
        }
    }

    // MARK: Snapshots, under the lock

    /// Writes the producers as of the log's end. A snapshot carries a checksum, so one torn by a crash is only lost.
    func writeProducerSnapshot(at offset: Int64) throws(FileSystemError) {
        let file = try fileSystem.open(LogPaths.path(path, offset, .snapshot), .replace)
        try file.writeAll(ProducerSnapshot.encode(producers.producers.values))
        if snapshotOffsets.last != offset {
            snapshotOffsets.removeAll { $0 >= offset }
            snapshotOffsets.append(offset)
        }
        directoryIsDirty = true
        try removeSnapshotsWithoutSegments()
    }

    /// Keeps the snapshots at segments' starts and the newest.
    func removeSnapshotsWithoutSegments() throws(FileSystemError) {
        let bases = Set(segments.map(\.baseOffset))
        for offset in snapshotOffsets where !bases.contains(offset) && offset != snapshotOffsets.last {
            try fileSystem.removeFileIfPresent(LogPaths.path(path, offset, .snapshot))
            snapshotOffsets.removeAll { $0 == offset }
        }
    }

    /// Rebuilds the producers as of the log's end, from the newest snapshot that is not beyond it.
    func rebuildProducers(now: Int64) throws(FileSystemError) {
        for offset in snapshotOffsets where offset > endOffset {
            try fileSystem.removeFileIfPresent(LogPaths.path(path, offset, .snapshot))
        }
        snapshotOffsets.removeAll { $0 > endOffset }
        var report = RecoveryReport()
        producers = try ProducerReplay(
            path: path, fileSystem: fileSystem, segments: segments, snapshotOffsets: snapshotOffsets,
            startOffset: startOffset, endOffset: endOffset,
            expiration: configuration.producerIdExpirationMilliseconds, now: now
        ).run(&report)
        producers.highWatermarkMoved(to: highWatermark)
        publishTransactions()
    }
}

/// Finds the producers' state at a log's end from its files.
struct ProducerReplay {
    var path: String
    var fileSystem: any FileSystem
    var segments: [Segment]
    var snapshotOffsets: [Int64]
    var startOffset: Int64
    var endOffset: Int64
    var expiration: Int64
    var now: Int64

    func run(_ report: inout RecoveryReport) throws(FileSystemError) -> ProducerStateManager {
        var producers = ProducerStateManager()
        var position = segments.first?.baseOffset ?? startOffset
        for offset in snapshotOffsets.reversed() where offset <= endOffset {
            let file = LogPaths.path(path, offset, .snapshot)
            // Our own file, checked by its CRC; it is as large as the producers are many.
            guard let bytes = try fileSystem.contents(of: file, limit: .max) else { continue }
            guard let snapshot = ProducerSnapshot.decode(bytes) else {
                report.add(file, cut: Int64(bytes.count), .corruptProducerSnapshot)
                try fileSystem.removeFileIfPresent(file)
                continue
            }
            producers.load(snapshot, now: now, expiration: expiration)
            position = offset
            break
        }
        for (index, segment) in segments.enumerated() {
            let upper = index + 1 < segments.count ? segments[index + 1].baseOffset : endOffset
            guard upper > position else { continue }
            try segment.forEachBatch(from: max(position, segment.baseOffset)) { found throws(FileSystemError) in
                guard found.header.baseOffset >= position else { return true }
                if found.header.baseOffset >= endOffset { return false }
                guard found.header.hasProducer else { return true }
                let marker = found.header.isControl ? try readMarker(found, in: segment) : nil
                _ = producers.apply(found.header, marker: marker)
                return true
            }
        }
        return producers
    }

    private func readMarker(
        _ found: BatchScanner.Found, in segment: Segment
    ) throws(FileSystemError) -> EndTransactionMarker? {
        let buffer = ScratchBuffer(capacity: found.header.totalLength)
        buffer.count = try segment.file.file.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<found.header.totalLength]),
            at: found.position)
        return try? EndTransactionMarker(batch: buffer.bytes)
    }
}
