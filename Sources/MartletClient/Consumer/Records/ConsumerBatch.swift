/// Records of one partition that one fetch brought, in order; at least one. Its memory, which is that of the whole fetch,
/// stays as long as it or one of its records is kept; whoever keeps records for long copies what is needed of them.
public struct ConsumerBatch: Sendable, Sequence {
    let storage: RecordStorage
    /// The first record's.
    public let firstOffset: Int64
    /// The last record's.
    public let lastOffset: Int64
    /// Where the partition goes on; offsets between `lastOffset` and this one have no records to show.
    public let nextOffset: Int64
    /// The offset after the last record of the partition that consumers may see, as of the fetch.
    public let highWatermark: Int64
    /// The number of records.
    public let count: Int

    /// The topic's name.
    public var topic: String { storage.topicPartition.topic }
    /// The partition's number.
    public var partition: Int32 { storage.topicPartition.partition }
    /// The partition by name.
    public var topicPartition: TopicPartition { storage.topicPartition }
    /// The leader's epoch of the last record; nil for brokers that do not tell it.
    public var leaderEpoch: Int32? { storage.sections.last.flatMap { $0.leaderEpoch < 0 ? nil : $0.leaderEpoch } }
    /// What to commit when all of it is consumed.
    public var consumedOffset: ConsumedOffset { ConsumedOffset(nextOffset, leaderEpoch: leaderEpoch) }

    /// The records in order.
    public func makeIterator() -> Iterator { Iterator(self) }
    /// `count`.
    public var underestimatedCount: Int { count }

    /// Calls `body` with each record in order.
    public func forEachRecord<Failure: Error>(
        _ body: (borrowing ConsumerRecord) throws(Failure) -> Void
    ) throws(Failure) {
        var iterator = makeIterator()
        while let record = iterator.next() { try body(record) }
    }

    /// The records of a batch, one after the other.
    public struct Iterator: IteratorProtocol, Sendable {
        private let storage: RecordStorage
        private let firstOffset: Int64
        // Both point into the storage.
        private nonisolated(unsafe) var position: UnsafeRawPointer
        private nonisolated(unsafe) var end: UnsafeRawPointer
        private var baseOffset: Int64 = 0
        private var baseTimestamp: Int64 = 0
        private var appendTime: Int64?
        private var nextSection = 0

        init(_ batch: ConsumerBatch) {
            storage = batch.storage
            firstOffset = batch.firstOffset
            position = storage.sections[0].start
            end = position
        }

        /// The next record; nil after the last.
        public mutating func next() -> ConsumerRecord? {
            while true {
                while position < end {
                    var next = position
                    guard let layout = RecordLayout(&next, end: end, checksHeaders: false) else {
                        preconditionFailure("the records were checked with the batch")
                    }
                    let start = next - Int(layout.length)
                    position = next
                    let offset = baseOffset &+ Int64(layout.offsetDelta)
                    // The first batch on the wire may begin before the offset that was asked for.
                    if offset < firstOffset { continue }
                    return ConsumerRecord(
                        layout, at: start, offset: offset,
                        timestamp: appendTime ?? (baseTimestamp &+ layout.timestampDelta),
                        storage: storage)
                }
                guard nextSection < storage.sections.count else { return nil }
                let section = storage.sections[nextSection]
                nextSection += 1
                position = section.start
                end = section.end
                baseOffset = section.baseOffset
                baseTimestamp = section.baseTimestamp
                appendTime = section.appendTime
            }
        }
    }
}
