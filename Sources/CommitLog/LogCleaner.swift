import RecordFormat

/// What a compaction did.
package struct CompactionResult: Equatable, Sendable {
    /// Everything before is compacted.
    package var cleanedUpTo: Int64
    package var bytesBefore: Int64 = 0
    package var bytesAfter: Int64 = 0
    package var recordsBefore: Int64 = 0
    package var recordsAfter: Int64 = 0
    package var segmentsBefore = 0
    package var segmentsAfter = 0
}

/// Why a log was not compacted. The log is as it was.
package enum CompactionError: Error, Equatable, Sendable {
    case log(LogError)
    /// A segment holds bytes that are no batches, or records that cannot be read.
    case corruptSegment(baseOffset: Int64)
    /// The log was truncated or closed meanwhile.
    case interrupted
}

/// Compacts logs: of records with the same key the last one stays, at its offset. For one thread at a time.
package final class LogCleaner {
    private let mapCapacity: Int
    private let throttle: (Int) -> Void
    let reader: RecordBatchReader
    let compressor = Compressor()

    /// `throttle` is called with numbers of bytes before they are read or written, and may wait. The keys of one
    /// compaction take up to `offsetMapBytes`; more dirty records than that are left for the next one.
    package init(
        offsetMapBytes: Int = 128 << 20, decompressedLimit: Int = RecordBatchReader.defaultDecompressedLimit,
        throttle: @escaping (Int) -> Void = { _ in }
    ) {
        mapCapacity = max(1, offsetMapBytes / OffsetMap.bytesPerKey)
        self.throttle = throttle
        reader = RecordBatchReader(decompressedLimit: decompressedLimit)
    }

    /// Compacts `log` when its configuration asks for it and enough of it is dirty; otherwise nil.
    package func clean(_ log: Log, now: Int64) throws(CompactionError) -> CompactionResult? {
        guard let plan = log.beginCleaning(now: now) else { return nil }
        defer { log.endCleaning() }
        do throws(CompactionError) {
            return try clean(log, plan, now: now)
        } catch {
            log.discardCleaned()
            // What was read from a log that was cut or closed meanwhile says nothing about the disk.
            if log.isClosed || log.lock.withLock({ log.truncations != plan.truncations }) { throw .interrupted }
            if case .log(.storageFailure(let failure)) = error, !failure.isOutOfResources {
                log.health.goOffline(failure)
            }
            throw error
        }
    }

    private func clean(_ log: Log, _ plan: CleaningPlan, now: Int64) throws(CompactionError) -> CompactionResult {
        let map = try buildMap(log, plan)
        guard map.endOffset > plan.dirtyStart else {
            throw .corruptSegment(baseOffset: plan.segments.first?.segment.baseOffset ?? 0)
        }
        var result = CompactionResult(cleanedUpTo: map.endOffset)
        let first = plan.segments.first?.segment.baseOffset ?? 0
        var filter = RecordFilter(
            map: map, now: now, deleteRetention: plan.configuration.deleteRetentionMilliseconds,
            transactions: CleanedTransactions(aborted: log.abortedTransactions(from: first, to: map.endOffset)),
            lastRecords: log.lastRecordsOfProducers())
        for group in plan.groups(upTo: map.endOffset) {
            try rewrite(group, log, plan, &filter, &result, now: now)
        }
        log.noteCleaned(upTo: map.endOffset)
        return result
    }

    // MARK: Finding the last records

    private func buildMap(_ log: Log, _ plan: CleaningPlan) throws(CompactionError) -> OffsetMap {
        let map = OffsetMap(capacity: mapCapacity, startOffset: plan.dirtyStart)
        var transactions = CleanedTransactions(
            aborted: log.abortedTransactions(from: plan.dirtyStart, to: plan.end))
        for item in plan.segments where item.end > plan.dirtyStart {
            guard !map.isFull else { break }
            try walk(item) { header, _, bytes throws(CompactionError) in
                guard !map.isFull, header.nextOffset > plan.dirtyStart else { return }
                let isDiscarded = transactions.canDiscard(header, try marker(of: header, bytes, item))
                if !header.isControl, !isDiscarded {
                    try forEachRecord(of: bytes, item) { record in
                        if let key = record.key, record.offset >= plan.dirtyStart {
                            map.set(key, record.offset)
                        }
                    }
                }
                // A batch that did not fit wholly is looked at again by the next compaction.
                if !map.isFull { map.endOffset = header.nextOffset }
            }
            if !map.isFull { map.endOffset = item.end }
        }
        return map
    }

    func walk(
        _ item: CleaningPlan.Item,
        _ body: (RecordBatchHeader, Int64, UnsafeRawBufferPointer) throws(CompactionError) -> Void
    ) throws(CompactionError) {
        var failure: CompactionError?
        let result: SegmentRecovery.Result
        do throws(LogOpenError) {
            result = try SegmentRecovery.walk(
                item.segment.file.file, size: item.size, baseOffset: item.segment.baseOffset, path: ""
            ) { header, position, bytes in
                guard failure == nil else { return }
                throttle(bytes.count)
                do throws(CompactionError) {
                    try body(header, position, bytes)
                } catch {
                    failure = error
                }
            }
        } catch {
            if case .fileSystem(let failure) = error { throw .log(.storageFailure(failure)) }
            throw .corruptSegment(baseOffset: item.segment.baseOffset)
        }
        if let failure { throw failure }
        if result.reason != nil { throw .corruptSegment(baseOffset: item.segment.baseOffset) }
    }

    private func marker(
        of header: RecordBatchHeader, _ bytes: UnsafeRawBufferPointer, _ item: CleaningPlan.Item
    ) throws(CompactionError) -> EndTransactionMarker? {
        guard header.isControl, header.recordCount > 0 else { return nil }
        do {
            return try EndTransactionMarker(batch: bytes)
        } catch {
            throw .corruptSegment(baseOffset: item.segment.baseOffset)
        }
    }

    private func forEachRecord(
        of bytes: UnsafeRawBufferPointer, _ item: CleaningPlan.Item, _ body: (RecordView) -> Void
    ) throws(CompactionError) {
        do {
            try reader.forEachRecord(of: bytes) { record throws(RecordFormatError) in body(record) }
        } catch {
            throw .corruptSegment(baseOffset: item.segment.baseOffset)
        }
    }

    // MARK: Writing

    /// Writes the records that stay of some segments to one new segment and puts it in their place.
    private func rewrite(
        _ group: [CleaningPlan.Item], _ log: Log, _ plan: CleaningPlan, _ filter: inout RecordFilter,
        _ result: inout CompactionResult, now: Int64
    ) throws(CompactionError) {
        guard let first = group.first else { return }
        let cleaned: Segment
        do {
            cleaned = try Segment(
                creating: first.segment.baseOffset, in: plan.path, log.fileSystem, ending: LogPaths.cleaned,
                now: first.touchedAt)
        } catch {
            throw .log(.storageFailure(error))
        }
        let interval = plan.configuration.indexIntervalBytes
        let buffer = ScratchBuffer(capacity: 1 << 16)
        var headers: [RecordBatchHeader] = []
        func write() throws(CompactionError) {
            guard buffer.count > 0 else { return }
            throttle(buffer.count)
            do {
                try cleaned.file.file.writeAll(buffer.bytes, at: cleaned.size)
            } catch {
                throw .log(.storageFailure(error))
            }
            for header in headers {
                cleaned.didWrite(header, indexInterval: interval, now: group.last?.touchedAt ?? now)
            }
            headers.removeAll(keepingCapacity: true)
            buffer.count = 0
        }

        for item in group {
            try walk(item) { header, _, bytes throws(CompactionError) in
                result.recordsBefore += Int64(header.recordCount)
                let kept = try filter.filter(
                    header, bytes, marker: try marker(of: header, bytes, item), self, item, into: buffer)
                guard let kept else { return }
                result.recordsAfter += Int64(kept.recordCount)
                headers.append(kept)
                if buffer.count >= 1 << 20 { try write() }
            }
            result.bytesBefore += item.size
            result.segmentsBefore += 1
        }
        try write()
        for transaction in filter.transactions.takeKeptAborts() { cleaned.transactionIndex.append(transaction) }
        // Beyond the map all records stay, those of aborted transactions too.
        for item in group {
            for transaction in log.lock.withLock({ item.segment.transactionIndex.entries })
            where transaction.lastOffset >= filter.map.endOffset {
                cleaned.transactionIndex.append(transaction)
            }
        }
        result.bytesAfter += cleaned.size
        result.segmentsAfter += 1
        do throws(LogError) {
            guard try log.replace(group.map(\.segment), with: cleaned, truncations: plan.truncations, now: now) else {
                throw .closed
            }
        } catch {
            if error == .closed { throw .interrupted }
            throw .log(error)
        }
    }
}

/// Decides what stays of each batch.
struct RecordFilter {
    let map: OffsetMap
    let now: Int64
    let deleteRetention: Int64
    var transactions: CleanedTransactions
    /// Offsets of the batches that carry the last sequence of each producer.
    let lastRecords: [Int64: ProducerLastRecord]

    /// Appends what stays of a batch to `output` and returns its header; nil when nothing stays.
    mutating func filter(
        _ header: RecordBatchHeader, _ bytes: UnsafeRawBufferPointer, marker: EndTransactionMarker?,
        _ cleaner: LogCleaner, _ item: CleaningPlan.Item, into output: ScratchBuffer
    ) throws(CompactionError) -> RecordBatchHeader? {
        // Beyond the map nothing is known to be superseded.
        guard header.baseOffset < map.endOffset else {
            output.append(bytes)
            return header
        }
        let canDiscard = transactions.canDiscard(header, marker)
        let isPastHorizon = header.attributes.hasDeleteHorizon && header.baseTimestamp <= now
        if header.isControl, header.recordCount > 0 {
            if !canDiscard {
                output.append(bytes)
                return header
            }
            if !isPastHorizon {
                if header.attributes.hasDeleteHorizon {
                    output.append(bytes)
                    return header
                }
                return try rebuild(header, bytes, cleaner, item, settingHorizon: true, into: output) { _ in true }
            }
            return keepEmpty(header, into: output)
        }
        if canDiscard || header.recordCount == 0 { return keepEmpty(header, into: output) }

        var kept: Int32 = 0
        var hasTombstones = false
        let map = map
        let keep = { (record: RecordView) -> Bool in
            guard record.offset < map.endOffset else { return true }
            guard let key = record.key else { return false }
            if let latest = map.latestOffset(of: key), latest > record.offset { return false }
            return record.value != nil || !isPastHorizon
        }
        do {
            try cleaner.reader.forEachRecord(of: bytes) { record throws(RecordFormatError) in
                guard keep(record) else { return }
                kept += 1
                if record.value == nil { hasTombstones = true }
            }
        } catch {
            throw .corruptSegment(baseOffset: item.segment.baseOffset)
        }
        let needsHorizon = hasTombstones && !header.attributes.hasDeleteHorizon
        if kept == 0 { return keepEmpty(header, into: output) }
        if kept == header.recordCount, !needsHorizon {
            output.append(bytes)
            return header
        }
        return try rebuild(header, bytes, cleaner, item, settingHorizon: needsHorizon, into: output, keep)
    }

    /// A batch without records stays where a producer's sequence numbers would be forgotten otherwise.
    private func keepEmpty(_ header: RecordBatchHeader, into output: ScratchBuffer) -> RecordBatchHeader? {
        guard header.hasProducer, lastRecords[header.producerId]?.isIn(header) == true else { return nil }
        var empty = header
        empty.recordCount = 0
        empty.attributes = empty.attributes.with(codec: .none)
        empty.attributes.remove(.deleteHorizon)
        let start = output.count
        output.reserve(start + RecordBatchHeader.byteCount)
        empty.seal(
            UnsafeMutableRawBufferPointer(rebasing: output.memory[start..<start + RecordBatchHeader.byteCount]))
        output.count += RecordBatchHeader.byteCount
        return empty
    }

    private func rebuild(
        _ header: RecordBatchHeader, _ bytes: UnsafeRawBufferPointer, _ cleaner: LogCleaner,
        _ item: CleaningPlan.Item, settingHorizon: Bool, into output: ScratchBuffer,
        _ keep: (RecordView) -> Bool
    ) throws(CompactionError) -> RecordBatchHeader? {
        var builder = RecordBatchBuilder(
            codec: header.codec ?? .none, attributes: header.attributes, baseOffset: header.baseOffset,
            partitionLeaderEpoch: header.partitionLeaderEpoch, producerId: header.producerId,
            producerEpoch: header.producerEpoch, baseSequence: header.baseSequence)
        if settingHorizon { builder.header.attributes.insert(.deleteHorizon) }
        builder.setBaseTimestamp(settingHorizon ? now.saturatingAdding(deleteRetention) : header.baseTimestamp)
        let built: [UInt8]
        do {
            try cleaner.reader.forEachRecord(of: bytes) { record throws(RecordFormatError) in
                if keep(record) { builder.append(record) }
            }
            // The batch goes on covering all its offsets and sequence numbers.
            builder.header.lastOffsetDelta = header.lastOffsetDelta
            if header.attributes.timestampType == .logAppendTime { builder.header.maxTimestamp = header.maxTimestamp }
            built = try builder.build(with: cleaner.compressor)
        } catch {
            throw .corruptSegment(baseOffset: item.segment.baseOffset)
        }
        return built.withUnsafeBytes { buffer in
            output.append(buffer)
            return RecordBatchHeader(buffer)
        }
    }
}

/// Where the last sequence number of a producer is.
struct ProducerLastRecord {
    /// The last offset of its newest batch; nil when only markers are known.
    var lastOffset: Int64?
    var producerEpoch: Int16

    func isIn(_ header: RecordBatchHeader) -> Bool {
        if let lastOffset { return header.lastOffset == lastOffset }
        return header.isControl && header.producerEpoch == producerEpoch
    }
}
