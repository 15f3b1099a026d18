extension Consumer {
    // MARK: Flow

    /// Hands out no records of these partitions until `resume`, also not of the batch whose records are handed out one by
    /// one. They stay assigned. Throws `invalidArgument` for one that is not.
    public func pause(_ partitions: some Sequence<TopicPartition>) throws(ClientError) {
        try setPaused(true, Array(partitions))
    }

    /// Goes on with partitions that were paused.
    public func resume(_ partitions: some Sequence<TopicPartition>) throws(ClientError) {
        try setPaused(false, Array(partitions))
    }

    private func setPaused(_ isPaused: Bool, _ partitions: [TopicPartition]) throws(ClientError) {
        try change(partitions) { shared, slot, _ in
            shared.core.setPaused(isPaused, slot)
            if isPaused { shared.interruptCurrent() }
        }
    }

    /// The partitions that are paused.
    public var paused: Set<TopicPartition> {
        driver.shared.withLock { shared in
            let slots = shared.core.slots
            return Set(shared.core.index.filter { slots[$0.value].isPaused }.keys)
        }
    }

    /// Goes on at another place: what is handed out next of the partition comes from there.
    public func seek(_ partition: TopicPartition, to position: ConsumerPosition) throws(ClientError) {
        try seek([partition], to: position)
    }

    /// The same for several partitions.
    public func seek(
        _ partitions: some Sequence<TopicPartition>, to position: ConsumerPosition
    ) throws(ClientError) {
        try position.check()
        try change(Array(partitions)) { shared, slot, _ in
            shared.core.seek(slot, position.start)
            shared.interruptCurrent()
        }
    }

    private func change(
        _ partitions: [TopicPartition], _ body: (inout ConsumerDriver.Shared, Int, TopicPartition) -> Void
    ) throws(ClientError) {
        try checkOpen()
        try driver.change { (shared) throws(ClientError) in
            if let wrong = partitions.first(where: { shared.core.index[$0] == nil }) {
                throw ClientError(.invalidArgument, "\(wrong) is not assigned to this consumer")
            }
            for partition in partitions { body(&shared, shared.core.index[partition]!, partition) }
        }
    }

    // MARK: Where it is

    /// The offset of the record that is handed out next; nil while that is not known.
    public func position(of partition: TopicPartition) -> Int64? { positions[partition]?.offset }

    /// What to commit for all that was handed out so far, with a transaction for example. Partitions whose position is not
    /// known yet are left out.
    public var positions: [TopicPartition: ConsumedOffset] { driver.shared.withLock { $0.positions } }

    /// How many offsets the partition is ahead of what was handed out, as of the last fetch; nil while that is not known.
    /// With `readCommitted` up to the first open transaction.
    public func currentLag(of partition: TopicPartition) -> Int64? {
        driver.shared.withLock { shared in
            guard let slot = shared.core.index[partition], let position = shared.positions[partition] else {
                return nil
            }
            let state = shared.core.slots[slot]
            let end = configuration.isolationLevel == .readCommitted ? state.lastStableOffset : state.highWatermark
            // Whatever a broker says.
            return end.map { $0 > position.offset ? $0 - position.offset : 0 }
        }
    }

    // MARK: Questions to the cluster

    /// The partitions of a topic. Throws when there is no such topic.
    public func partitions(of topic: String) async throws(ClientError) -> [TopicPartition] {
        try checkOpen()
        return try await driver.cluster.topic(topic, refresh: true).partitions.map { TopicPartition(topic, $0.index) }
    }

    /// The offset of the first record of each partition that is still there.
    public func beginningOffsets(
        of partitions: some Collection<TopicPartition> & Sendable
    ) async throws(ClientError) -> [TopicPartition: Int64] {
        try await offsets(of: partitions, at: .earliest).mapValues(\.offset)
    }

    /// The offset that each partition's next record gets, as consumers of the `isolationLevel` see it.
    public func endOffsets(
        of partitions: some Collection<TopicPartition> & Sendable
    ) async throws(ClientError) -> [TopicPartition: Int64] {
        try await offsets(of: partitions, at: .latest).mapValues(\.offset)
    }

    /// The first record of each partition with at least the timestamp, in milliseconds since the epoch. Partitions without
    /// one are left out.
    public func offsets(
        forTimes timestamps: [TopicPartition: Int64]
    ) async throws(ClientError) -> [TopicPartition: TimestampedOffset] {
        var result: [TopicPartition: TimestampedOffset] = [:]
        for (time, partitions) in Dictionary(grouping: timestamps, by: \.value) {
            for (partition, found) in try await offsets(of: partitions.map(\.key), at: .timestamp(time))
            where found.offset >= 0 {
                result[partition] = TimestampedOffset(offset: found.offset, timestamp: found.timestamp)
            }
        }
        return result
    }

    private func offsets(
        of partitions: some Collection<TopicPartition> & Sendable, at position: OffsetPosition
    ) async throws(ClientError) -> [TopicPartition: ListedOffset] {
        try checkOpen()
        if partitions.isEmpty { return [:] }
        return try await Admin(cluster: driver.cluster)
            .offsets(of: partitions, at: position, committedOnly: configuration.isolationLevel == .readCommitted)
    }
}

/// A record's place, found by its time.
public struct TimestampedOffset: Sendable, Hashable {
    /// The record's offset.
    public let offset: Int64
    /// Milliseconds since the epoch.
    public let timestamp: Int64
}
