/// Records of a topic whose partitions are not known yet, in order.
struct StagedRecords {
    struct Entry {
        let partition: Int32?
        let key: [UInt8]?
        let value: [UInt8]?
        let headers: [Header]
        let timestamp: Int64
    }

    let completion: BatchCompletion
    let since: ContinuousClock.Instant
    var entries: [Entry] = []
    var charge = 0
}

extension ProducerCore {
    mutating func stage(
        _ topicIndex: Int, partition: Int32?, record: RecordFields, bound: Int, clock: () -> Instant
    ) throws(ClientError) -> Appended {
        try charge(bound)
        if topics[topicIndex].staged == nil {
            topics[topicIndex].staged = StagedRecords(
                completion: BatchCompletion(topic: topics[topicIndex].name, partition: -1), since: clock())
            topics[topicIndex].isUsed = true
            metadata.isNeeded = true
            needsStep = true
        }
        topics[topicIndex].staged!.charge += bound
        topics[topicIndex].staged!.entries.append(
            StagedRecords.Entry(
                partition: partition, key: record.key.map { Array($0) }, value: record.value.map { Array($0) },
                headers: record.headers, timestamp: record.timestamp))
        return Appended(
            completion: topics[topicIndex].staged!.completion,
            index: Int32(topics[topicIndex].staged!.entries.count - 1))
    }

    /// The topic is known now: its records go to their batches, each as if it came now. One that cannot fails alone.
    mutating func placeStaged(_ topicIndex: Int, now: Instant) {
        guard let staged = topics[topicIndex].staged else { return }
        topics[topicIndex].staged = nil
        bufferedBytes -= staged.charge
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(staged.entries.count)
        // They were taken over already: their memory may double for a moment, but none is refused.
        isPlacing = true
        for entry in staged.entries {
            deliveries.append(place(entry, topicIndex, now: now))
        }
        isPlacing = false
        report(.forwarded(deliveries), of: deliveries.count, to: staged.completion)
    }

    private mutating func place(_ entry: StagedRecords.Entry, _ topicIndex: Int, now: Instant) -> Delivery {
        do throws(ClientError) {
            let appended = try entry.withFields { (fields) throws(ClientError) in
                try append(
                    topicIndex, partition: entry.partition, record: fields, bound: fields.lengthBound, clock: { now })
            }
            return Delivery(completion: appended.completion, index: appended.index, timestamp: entry.timestamp)
        } catch {
            let completion = BatchCompletion(topic: topics[topicIndex].name, partition: entry.partition ?? -1)
            report(.failed(error), of: 1, to: completion)
            failTransaction(error)
            return Delivery(completion: completion, index: 0, timestamp: entry.timestamp)
        }
    }

    mutating func failStaged(_ topicIndex: Int, _ error: ClientError) {
        guard let staged = topics[topicIndex].staged else { return }
        topics[topicIndex].staged = nil
        bufferedBytes -= staged.charge
        actions.freedMemory = true
        report(.failed(error), of: staged.entries.count, to: staged.completion)
        failTransaction(error)
    }
}

extension StagedRecords.Entry {
    fileprivate func withFields<Result>(
        _ body: (RecordFields) throws(ClientError) -> Result
    ) throws(ClientError) -> Result {
        try key.withBytes { (key) throws(ClientError) in
            try value.withBytes { (value) throws(ClientError) in
                try body(RecordFields(key: key, value: value, headers: headers, timestamp: timestamp))
            }
        }
    }
}

extension Optional where Wrapped == [UInt8] {
    @inline(__always)
    func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer?) throws(ClientError) -> Result
    ) throws(ClientError) -> Result {
        guard let bytes = self else { return try body(nil) }
        return try bytes.span.bytes.withUnsafeBytes(body)
    }
}
