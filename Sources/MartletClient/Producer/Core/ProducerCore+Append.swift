import RecordFormat

extension ProducerCore {
    /// Where a record went.
    struct Appended {
        let completion: BatchCompletion
        let index: Int32
    }

    /// Writes a record into its batch. `clock` is asked only when a batch begins. Throws `bufferFull` when there is no
    /// room now. Afterwards, whether it throws or not, `needsStep` says whether to call `step` soon. A record for the
    /// transaction `number` goes into no other; nil: into whichever is open.
    mutating func append(
        topic: String, partition: Int32?, record: RecordFields, transaction number: Int? = nil, clock: () -> Instant
    ) throws(ClientError) -> Appended {
        if let refusal { throw refusal }
        if transaction != nil { try transaction!.checkOpen(number) }
        let bound = record.lengthBound
        // A batch's memory is a power of two, so that half of all always has room for one.
        let limit = min(configuration.maximumRequestSize, configuration.bufferMemory / 2 - RecordBatchHeader.byteCount)
        guard bound <= limit else {
            throw ClientError(
                .recordTooLarge, "a record of \(bound) bytes, where \(limit) is the limit",
                nextStep: "raise max.request.size, and buffer.memory to twice as much")
        }
        let topicIndex = index(of: topic)
        guard topics[topicIndex].isKnown else {
            return try stage(topicIndex, partition: partition, record: record, bound: bound, clock: clock)
        }
        return try append(topicIndex, partition: partition, record: record, bound: bound, clock: clock)
    }

    @inline(__always)
    mutating func append(
        _ topicIndex: Int, partition: Int32?, record: RecordFields, bound: Int, clock: () -> Instant
    ) throws(ClientError) -> Appended {
        let count = topics[topicIndex].slots.count
        let number: Int32
        var isSticky = false
        if let partition {
            number = partition
        } else if let chosen = choose(topicIndex, key: record.key, count: count) {
            number = chosen
        } else {
            number = stickyPartition(topicIndex)
            isSticky = true
        }
        guard number >= 0, number < count else {
            throw ClientError(
                .invalidArgument, "topic '\(topics[topicIndex].name)' has no partition \(number)",
                nextStep: "it has \(count), numbered from 0")
        }
        let slot = topics[topicIndex].slots[Int(number)]
        if partitions[slot].open == nil { topics[topicIndex].isUsed = true }
        let appended = try append(to: slot, record: record, bound: bound, clock: clock)
        if isSticky { topics[topicIndex].sticky.didAppend(bound) }
        return appended
    }

    private mutating func index(of topic: String) -> Int {
        if let lastTopic, lastTopic.name == topic { return lastTopic.index }
        let index: Int
        if let known = topicIndexes[topic] {
            index = known
        } else {
            index = topics.count
            topics.append(Topic(name: topic))
            topicIndexes[topic] = index
        }
        lastTopic = (topic, index)
        return index
    }

    private func choose(_ topicIndex: Int, key: UnsafeRawBufferPointer?, count: Int) -> Int32? {
        if let partitioner = configuration.partitioner {
            let name = topics[topicIndex].name
            guard let key else { return partitioner.partition(topic: name, key: nil, partitionCount: count) }
            return partitioner.partition(topic: name, key: RawSpan(_unsafeBytes: key), partitionCount: count)
        }
        guard let key, !configuration.partitionerIgnoresKeys else { return nil }
        return KeyPartitioner.partition(ofKey: key, count: count)
    }

    private mutating func stickyPartition(_ topicIndex: Int) -> Int32 {
        let slots = topics[topicIndex].slots
        let current = topics[topicIndex].sticky.partition
        let batchIsFull = current < 0 || partitions[slots[Int(current)]].open == nil
        if topics[topicIndex].sticky.isSpent(stickyBytes: configuration.batchSize, batchIsFull: batchIsFull) {
            let lengths = slots.lazy.map { [partitions] slot in
                partitions[slot].leader == nil ? nil : partitions[slot].length
            }
            topics[topicIndex].sticky.next(
                queueLengths: Array(lengths), isAdaptive: configuration.partitionerIsAdaptive, using: &generator)
        }
        return topics[topicIndex].sticky.partition
    }

    @inline(__always)
    mutating func append(
        to slot: Int, record: RecordFields, bound: Int, clock: () -> Instant
    ) throws(ClientError) -> Appended {
        if let batch = partitions[slot].open {
            if batch.byteCount + bound <= configuration.batchSize {
                if batch.byteCount + bound > batch.capacity { try grow(batch, by: bound) }
                return Appended(completion: batch.completion, index: batch.append(record, bound: bound))
            }
            partitions[slot].closeOpen()
            if canSend(slot) { needsStep = true }
        }
        return try openBatch(slot, record: record, bound: bound, now: clock())
    }

    private mutating func grow(_ batch: ProducerBatch, by more: Int) throws(ClientError) {
        let growth = batch.capacity(adding: more) - batch.capacity
        try charge(growth)
        batch.charge += growth
    }

    @inline(never)
    private mutating func openBatch(
        _ slot: Int, record: RecordFields, bound: Int, now: Instant
    ) throws(ClientError) -> Appended {
        let needed = RecordBatchHeader.byteCount + bound
        let usual = min(partitions[slot].lastBatchBytes, configuration.batchSize)
        var capacity = max(needed, usual).nextPowerOfTwo
        if bufferedBytes + awaitedBytes + capacity > configuration.bufferMemory { capacity = needed.nextPowerOfTwo }
        try charge(capacity)
        let batch = ProducerBatch(
            slot: slot,
            completion: BatchCompletion(topic: partitions[slot].topic, partition: partitions[slot].partition),
            created: now, capacity: capacity)
        batch.charge = capacity
        partitions[slot].open = batch
        list(slot)
        if configuration.linger == .zero {
            if canSend(slot) { needsStep = true }
        } else if plannedStep.map({ $0 > now + configuration.linger }) ?? true {
            needsStep = true
        }
        return Appended(completion: batch.completion, index: batch.append(record, bound: bound))
    }

    mutating func charge(_ byteCount: Int) throws(ClientError) {
        guard bufferedBytes + byteCount + awaitedBytes <= configuration.bufferMemory || isPlacing else {
            isExhausted = true
            needsStep = true
            lastRefusedBytes = byteCount
            throw full
        }
        bufferedBytes += byteCount
    }

    var full: ClientError {
        ClientError(
            .bufferFull, "\(configuration.bufferMemory) bytes of records are on their way",
            nextStep: "wait for deliveries, or raise buffer.memory")
    }

    /// Whether a step now would bring the partition's next batch on its way, or has to find a way for it.
    private func canSend(_ slot: Int) -> Bool {
        guard let leader = partitions[slot].leader, let node = nodes[leader] else { return true }
        return node.state != .connecting && node.inFlight < configuration.maximumInFlightRequests
    }
}
