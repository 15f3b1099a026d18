import RecordFormat

extension ProducerCore {
    /// Puts two batches in the place of one that the broker calls too large, with the same numbers: what was sent after
    /// it fits behind them. They go one after the other, as whatever is sent again. False when it cannot be divided.
    mutating func split(_ batch: ProducerBatch, now: Instant) -> Bool {
        // One in doubt may be in the log as a whole.
        guard batch.recordCount > 1, !batch.isInDoubt, !batch.isAbandoned else { return false }
        guard let (halves, timestamps) = batch.halves(splitting: batch.recordCount / 2) else { return false }
        let slot = batch.slot
        var deliveries: [Delivery] = []
        for half in halves {
            half.charge = half.capacity
            bufferedBytes += half.charge
            for index in 0..<half.recordCount {
                let timestamp = timestamps[deliveries.count]
                deliveries.append(Delivery(completion: half.completion, index: index, timestamp: timestamp))
            }
        }
        partitions[slot].replace(batch, with: halves)
        finish(batch, .forwarded(deliveries))
        return true
    }
}

extension PartitionQueue {
    fileprivate mutating func replace(_ batch: ProducerBatch, with parts: [ProducerBatch]) {
        if var sequence = batch.sequence {
            for part in parts {
                part.sequence = sequence
                sequence.base = RecordBatchHeader.sequence(sequence.base, advancedBy: part.recordCount)
            }
        }
        for part in parts { part.stage = .waitsForRetry }
        replaceAssigned(batch, with: parts)
    }
}

extension ProducerBatch {
    /// The records of a sealed batch in two, the first `count` of them before the others, and all their timestamps; nil
    /// when they cannot be read, which would mean that memory was damaged.
    fileprivate func halves(splitting count: Int32) -> (halves: [ProducerBatch], timestamps: [Int64])? {
        let halves = (0..<2).map { _ in
            ProducerBatch(
                slot: slot, completion: BatchCompletion(topic: completion.topic, partition: completion.partition),
                created: created, capacity: buffer.readableBytes)
        }
        var timestamps: [Int64] = []
        var isReadable = true
        buffer.withUnsafeReadableBytes { bytes in
            do throws(RecordFormatError) {
                try RecordBatchReader().forEachRecord(of: bytes) { view throws(RecordFormatError) in
                    let headers = try view.headers().map {
                        Header(key: String(decoding: $0.key, as: UTF8.self), value: $0.value)
                    }
                    let fields = RecordFields(
                        key: view.key, value: view.value, headers: headers, timestamp: view.timestamp)
                    _ = halves[timestamps.count < count ? 0 : 1].append(fields, bound: fields.lengthBound)
                    timestamps.append(view.timestamp)
                }
            } catch {
                isReadable = false
            }
        }
        return isReadable ? (halves, timestamps) : nil
    }
}
