extension Consumer {
    /// Commits all that was handed out, the batch or record at hand included, and waits for it. Throws `commitFailed` when
    /// the group has given the partitions to others. It throws the same as a retriable error while the group is dividing
    /// them anew: that may wait until this consumer is asked for records, after which another commit may succeed.
    public func commit() async throws(ClientError) {
        let (commits, offsets) = (try commits(), positions)
        declareDone(offsets)
        try await commits.commit(offsets)
    }

    /// Commits these offsets and waits for it; see `commit()`.
    public func commit(_ offsets: [TopicPartition: ConsumedOffset]) async throws(ClientError) {
        try checkOffsets(offsets)
        let commits = try commits()
        declareDone(offsets)
        try await commits.commit(offsets)
    }

    /// Commits all that was handed out without waiting. Commits take effect in the order of the calls; an error goes to the
    /// log and to `lastCommitError`.
    public func commitInBackground() throws(ClientError) {
        try commitInBackground(positions)
    }

    /// Commits these offsets without waiting.
    public func commitInBackground(_ offsets: [TopicPartition: ConsumedOffset]) throws(ClientError) {
        try checkOffsets(offsets)
        let commits = try commits()
        declareDone(offsets)
        commits.commitInBackground(offsets)
    }

    /// Why the last commit of any kind failed; nil when it did not.
    public var lastCommitError: ClientError? { link?.commits.lastError }

    /// What the group has committed; partitions without an offset are left out. Waits for transactions that are about to
    /// commit some (KIP-447).
    public func committed(
        _ partitions: [TopicPartition]
    ) async throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        try await group().committed(partitions)
    }

    /// Who this consumer is in its group, for `Transaction.sendOffsets`. Ask anew for each transaction. Throws
    /// `invalidState` without a group, and `transactionAborted` when the group has given this consumer up since it handed out
    /// the records at hand: others may have them.
    public var groupMetadata: ConsumerGroupMetadata {
        get throws(ClientError) { try group().metadata }
    }

    /// Has the group divide its partitions anew, for example after what a listener decides by has changed.
    public func enforceRebalance() throws(ClientError) {
        try group().membership?.enforceRebalance()
    }

    /// Whoever commits an offset is done with what is before it: a later commit that happens by itself must not go back.
    private func declareDone(_ offsets: [TopicPartition: ConsumedOffset]) {
        driver.shared.withLock { shared in
            for (partition, offset) in offsets {
                guard let slot = shared.core.index[partition] else { continue }
                if offset.offset > shared.core.slots[slot].done?.offset ?? -1 {
                    shared.core.slots[slot].done = offset
                }
            }
        }
    }

    private func commits() throws(ClientError) -> CommitQueue {
        let group = try group()
        try group.checkHoldsRecords()
        return group.commits
    }

    private func group() throws(ClientError) -> ConsumerGroupLink {
        // A listener may commit while the consumer is being closed.
        if driver.shared.withLock({ $0.application.isClosing && $0.core.end != nil }) {
            throw ClientError(.closed, "the consumer is closed")
        }
        guard let link else {
            throw ClientError(.invalidState, "this consumer has no group", nextStep: "set groupId (group.id)")
        }
        return link
    }

    private func checkOffsets(_ offsets: [TopicPartition: ConsumedOffset]) throws(ClientError) {
        if let wrong = offsets.first(where: { $0.value.offset < 0 }) {
            throw ClientError(.invalidArgument, "\(wrong.key): \(wrong.value.offset) is not an offset")
        }
    }
}
