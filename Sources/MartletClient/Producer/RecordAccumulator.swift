import RecordFormat

/// Records on their way into batches, by partition and in order. A pure state machine: time comes from the caller.
struct RecordAccumulator {
    /// A batch that may be sent now.
    struct Batch: Sendable {
        let partition: TopicPartition
        let builder: RecordBatchBuilder
        let recordCount: Int
        /// Memory it is charged for.
        let byteCount: Int
        let created: ContinuousClock.Instant
    }

    private struct Queue {
        var full: [Batch] = []
        var open: RecordBatchBuilder?
        var openSince: ContinuousClock.Instant?
        var openBytes = 0
        /// A batch is being sent; the next one waits, which keeps the order.
        var isSending = false

        mutating func close(_ partition: TopicPartition) {
            guard let builder = open, let since = openSince else { return }
            full.append(
                Batch(
                    partition: partition, builder: builder, recordCount: builder.recordCount, byteCount: openBytes,
                    created: since))
            open = nil
            openSince = nil
            openBytes = 0
        }
    }

    private let options: ProducerOptions
    private var queues: [TopicPartition: Queue] = [:]
    private(set) var bufferedBytes = 0

    init(options: ProducerOptions) {
        self.options = options
    }

    /// Nothing waits and nothing is being sent.
    var isEmpty: Bool { bufferedBytes == 0 }

    struct Appended: Equatable {
        /// By how much the partition's batches grew.
        var byteCount: Int
        /// The record's batch is full, so that it may be sent.
        var isFull: Bool
    }

    /// Adds a record to its partition's open batch.
    mutating func append(
        _ record: ProducerRecord, to partition: TopicPartition, now: ContinuousClock.Instant
    ) -> Appended {
        var queue = queues.removeValue(forKey: partition) ?? Queue()
        defer { queues[partition] = queue }
        if queue.open == nil {
            queue.open = RecordBatchBuilder(codec: options.codec, level: options.compressionLevel)
            queue.openSince = now
            queue.openBytes = 0
        }
        let before = queue.open!.uncompressedLength
        queue.open!.append(key: record.key, value: record.value, headers: record.headers, timestamp: record.timestamp)
        let length = queue.open!.uncompressedLength
        let added = queue.openBytes == 0 ? length : length - before
        queue.openBytes += added
        bufferedBytes += added
        let isFull = length >= options.batchBytes
        if isFull { queue.close(partition) }
        return Appended(byteCount: added, isFull: isFull)
    }

    /// The batches to send now: of each partition that is not being sent to, the oldest one that is full, has
    /// lingered long enough, or must go because of a flush. At most one a partition, as a request can hold.
    mutating func takeReady(now: ContinuousClock.Instant, isFlushing: Bool) -> [Batch] {
        var ready: [Batch] = []
        for partition in Array(queues.keys) {
            // Taken out while it changes, so that no batch is copied.
            guard var queue = queues.removeValue(forKey: partition) else { continue }
            if !queue.isSending {
                if queue.full.isEmpty, let since = queue.openSince, isFlushing || now - since >= options.linger {
                    queue.close(partition)
                }
                if !queue.full.isEmpty {
                    ready.append(queue.full.removeFirst())
                    queue.isSending = true
                }
            }
            queues[partition] = queue
        }
        return ready
    }

    /// A batch is acknowledged or given up: its memory is free and its partition's next may go.
    mutating func finish(_ batch: Batch) {
        bufferedBytes -= batch.byteCount
        queues[batch.partition]!.isSending = false
    }

    /// When the next batch will have lingered long enough, of partitions that are not being sent to.
    var nextDeadline: ContinuousClock.Instant? {
        queues.values.filter { !$0.isSending }.compactMap(\.openSince).min().map { $0 + options.linger }
    }
}
