/// A transaction that is open while the closure of `Producer.withTransaction` runs. After that its calls throw
/// `invalidState`.
public struct Transaction: Sendable {
    let producer: Producer
    let number: Int

    /// Puts a record into its batch; see `Producer.enqueue`. The commit waits for it, so that its delivery needs not be
    /// looked at.
    @discardableResult
    public func enqueue(_ record: ProducerRecord) throws(ClientError) -> Delivery {
        try check()
        return try producer.enqueue(record)
    }

    /// Puts a record into its batch, waiting for room up to `maximumBlock`.
    @discardableResult
    nonisolated(nonsending) public func enqueueWaiting(_ record: ProducerRecord) async throws(ClientError) -> Delivery {
        try check()
        return try await producer.enqueueWaiting(record)
    }

    /// Sends a record and waits until it is acknowledged, which is not yet the commit.
    @discardableResult
    nonisolated(nonsending) public func send(_ record: ProducerRecord) async throws(ClientError) -> RecordMetadata {
        try check()
        return try await producer.send(record)
    }

    /// Commits consumed offsets with the transaction: they become the group's when it commits, and are forgotten when
    /// it aborts. Throws `transactionAborted` when the group does not know the member any more.
    public func sendOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], for group: ConsumerGroupMetadata
    ) async throws(ClientError) {
        try check()
        guard !offsets.isEmpty else { return }
        try await producer.sendOffsets(offsets, for: group)
    }

    private func check() throws(ClientError) {
        guard producer.transactionNumber == number else {
            throw ClientError(.invalidState, "the transaction is over")
        }
    }
}
