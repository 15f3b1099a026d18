import RecordFormat

/// The numbers by which a broker recognizes an idempotent producer's batches.
struct ProducerSequences: Sendable {
    let producerId: Int64
    let producerEpoch: Int16
    private var next: [TopicPartition: Int32] = [:]

    init(producerId: Int64, producerEpoch: Int16) {
        self.producerId = producerId
        self.producerEpoch = producerEpoch
    }

    /// The number of the first of `count` records to a partition. They wrap around to 0 after Int32.max.
    mutating func assign(
        _ partition: TopicPartition, count: Int
    ) -> (producerId: Int64, producerEpoch: Int16, baseSequence: Int32) {
        let sequence = next[partition] ?? 0
        next[partition] = RecordBatchHeader.sequence(sequence, advancedBy: Int32(count))
        return (producerId, producerEpoch, sequence)
    }

    /// The last `count` records assigned to a partition were refused: their numbers go to those that come next.
    mutating func takeBack(_ partition: TopicPartition, count: Int) {
        guard let current = next[partition] else { return }
        next[partition] = RecordBatchHeader.sequence(current, advancedBy: Int32(-count))
    }
}
