/// A transaction that is open while the closure of `Producer.withTransaction` runs. After that its calls throw
/// `invalidState`.
public struct Transaction: Sendable {
    let producer: Producer
    let number: Int

    /// Puts a record into its batch; see `Producer.enqueue`. The commit waits for it, so that its delivery needs not be
    /// looked at.
    @discardableResult
    public func enqueue(_ record: ProducerRecord) throws(ClientError) -> Delivery {
        try producer.enqueue(record, transaction: number)
    }

    /// Puts a record into its batch, waiting for room up to `maximumBlock`.
    @discardableResult
    nonisolated(nonsending) public func enqueueWaiting(_ record: ProducerRecord) async throws(ClientError) -> Delivery {
        try await producer.enqueueWaiting(record, transaction: number)
    }

    /// Sends a record and waits until it is acknowledged, which is not yet the commit.
    @discardableResult
    nonisolated(nonsending) public func send(_ record: ProducerRecord) async throws(ClientError) -> RecordMetadata {
        try await producer.enqueueWaiting(record, transaction: number).metadata
    }

    /// Commits consumed offsets with the transaction: they become the group's when it commits, and are forgotten when
    /// it aborts. Throws `transactionAborted` when the group does not know the member any more.
    public func sendOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], for group: ConsumerGroupMetadata
    ) async throws(ClientError) {
        try await producer.sendOffsets(offsets, for: group, transaction: number)
    }
}
