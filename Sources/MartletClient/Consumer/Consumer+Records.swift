extension Consumer {
    /// The records in batches, the fastest way. Ends when its task is cancelled or the consumer closed.
    public var batches: ConsumerBatches { ConsumerBatches(consumer: self) }

    /// The records one by one. Ends when its task is cancelled or the consumer closed.
    public var records: ConsumerRecords { ConsumerRecords(consumer: self) }

    /// What comes next, without a loop: at most `limit` batches, none when nothing has come after `timeout`. With the call the
    /// application is done with what the one before returned. Throws `cancelled` when the task is.
    nonisolated(nonsending) public func nextBatches(
        limit: Int = 100, timeout: Duration
    ) async throws(ClientError) -> [ConsumerBatch] {
        guard limit > 0 else { throw ClientError(.invalidArgument, "limit must be at least 1") }
        guard let first = try await nextBatch(nil, until: ContinuousClock.now + timeout) else {
            if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
            return []
        }
        return [first] + moreBatches(limit - 1)
    }
}

/// A consumer's records in batches. See `Consumer.batches`.
public struct ConsumerBatches: AsyncSequence, Sendable {
    /// What is iterated over.
    public typealias Element = ConsumerBatch
    /// Errors that do not pass by themselves.
    public typealias Failure = ClientError

    let consumer: Consumer

    /// A loop over the batches. Only one may exist that has begun.
    public func makeAsyncIterator() -> Iterator { Iterator(consumer: consumer) }

    /// A loop over batches.
    public struct Iterator: AsyncIteratorProtocol {
        let consumer: Consumer
        let identity = IteratorIdentity()

        init(consumer: Consumer) {
            self.consumer = consumer
        }

        /// The next batch; nil when the task is cancelled or the consumer closed while it waits. The application is done
        /// with the one before.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(ClientError) -> ConsumerBatch? {
            try await consumer.nextBatch(identity)
        }

        /// The same, without an isolation.
        public mutating func next() async throws(ClientError) -> ConsumerBatch? {
            try await consumer.nextBatch(identity)
        }
    }
}

/// A consumer's records. See `Consumer.records`.
public struct ConsumerRecords: AsyncSequence, Sendable {
    /// What is iterated over.
    public typealias Element = ConsumerRecord
    /// Errors that do not pass by themselves.
    public typealias Failure = ClientError

    let consumer: Consumer

    /// A loop over the records. Only one may exist that has begun.
    public func makeAsyncIterator() -> Iterator { Iterator(consumer: consumer) }

    /// A loop over records.
    public struct Iterator: AsyncIteratorProtocol {
        private let consumer: Consumer
        private let identity = IteratorIdentity()
        private var current: CurrentRecords?
        private var count: UInt = 0

        init(consumer: Consumer) {
            self.consumer = consumer
        }

        /// The next record; nil when the task is cancelled or the consumer closed. The application is done with the one
        /// before.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(ClientError) -> ConsumerRecord? {
            count &+= 1
            // Now and then, since it costs as much as a record.
            if count & 63 == 0, Task.isCancelled { return nil }
            if let record = current?.next() { return record }
            current = nil
            let next = try await consumer.nextRecord(identity)
            current = next?.current
            return next?.record
        }

        /// The same, without an isolation.
        public mutating func next() async throws(ClientError) -> ConsumerRecord? {
            try await next(isolation: nil)
        }
    }
}
