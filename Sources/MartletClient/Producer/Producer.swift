import KafkaProtocol
import RecordFormat

/// Produces records: batches by partition, one request at a time for each of them, retries that keep
/// the order.
package actor Producer {
    /// What became of the records so far.
    package struct Report: Sendable {
        package var acknowledged = 0
        package var failed = 0
        /// The first failure.
        package var failure: ClientError?
    }

    private let cluster: Cluster
    private let options: ProducerOptions
    private var accumulator: RecordAccumulator
    private var partitioner: Partitioner
    private var generator = SystemRandomNumberGenerator()
    private var sequences: ProducerSequences?
    private var sending = 0
    private var isFlushing = false
    private var lingerTask: Task<Void, Never>?
    private var waiters: [CheckedContinuation<Void, Never>] = []
    package private(set) var report = Report()

    package init(cluster: Cluster, options: ProducerOptions = ProducerOptions()) {
        precondition(!options.isIdempotent || options.acknowledgements == .all)
        self.cluster = cluster
        self.options = options
        accumulator = RecordAccumulator(options: options)
        partitioner = Partitioner(stickyBytes: options.batchBytes)
    }

    /// Takes records over, in order; waits while `bufferBytes` are on their way. Throws when a topic or partition
    /// does not exist; what happens to a record later is in `report`.
    package func send(_ records: [ProducerRecord]) async throws(ClientError) {
        if options.isIdempotent && sequences == nil { try await initializeSequences() }
        let now = ContinuousClock.now
        var destination: Destination?
        for record in records {
            if destination?.topic.name != record.topic {
                destination = Destination(topic: try await cluster.topic(record.topic))
            }
            guard let destination else { preconditionFailure("just looked up") }
            let partition = try choosePartition(record, destination)
            let appended = accumulator.append(record, to: TopicPartition(record.topic, partition), now: now)
            partitioner.didAppend(
                appended.byteCount, topic: record.topic, partition: partition, available: destination.available,
                using: &generator)
            if appended.isFull {
                sendReady()
                while accumulator.bufferedBytes > options.bufferBytes { await changed() }
            }
        }
        sendReady()
    }

    /// Waits until every record is acknowledged or has failed.
    package func flush() async {
        isFlushing = true
        defer { isFlushing = false }
        sendReady()
        while !accumulator.isEmpty { await changed() }
    }

    /// A topic, with the partitions that have a leader; looked up once for a run of records.
    private struct Destination {
        let topic: ClusterView.Topic
        let available: [Int32]

        init(topic: ClusterView.Topic) {
            self.topic = topic
            available = topic.partitions.filter { $0.leader != nil }.map(\.index)
        }
    }

    private func choosePartition(
        _ record: ProducerRecord, _ destination: Destination
    ) throws(ClientError) -> Int32 {
        let count = destination.topic.partitions.count
        guard let partition = record.partition else {
            return partitioner.partition(
                topic: record.topic, key: record.key, count: count, available: destination.available,
                using: &generator)
        }
        guard partition >= 0, partition < count else {
            throw ClientError(
                .invalidArgument, "topic '\(record.topic)' has no partition \(partition)",
                nextStep: "it has \(count), numbered from 0")
        }
        return partition
    }

    private func changed() async {
        await withCheckedContinuation { waiters.append($0) }
    }

    private func initializeSequences() async throws(ClientError) {
        var request = InitProducerIdRequest()
        request.transactionalId = nil
        request.transactionTimeoutMs = 60_000
        let response = try await cluster.call(request, .any) { response in
            ClientError.from(response.errorCode, "producer id")
        }
        if sequences == nil {
            sequences = ProducerSequences(producerId: response.producerId, producerEpoch: response.producerEpoch)
        }
    }

    // MARK: Sending

    private func sendReady() {
        for batch in accumulator.takeReady(now: ContinuousClock.now, isFlushing: isFlushing) {
            Task { await self.deliver(batch) }
        }
        guard lingerTask == nil, let deadline = accumulator.nextDeadline else { return }
        lingerTask = Task {
            do {
                try await Task.sleep(until: deadline, clock: .continuous)
            } catch {
                return
            }
            self.lingerIsOver()
        }
    }

    private func lingerIsOver() {
        lingerTask = nil
        sendReady()
    }

    private func deliver(_ batch: RecordAccumulator.Batch) async {
        do throws(ClientError) {
            let bytes = try sealed(batch)
            try await sendUntilAcknowledged(bytes, batch)
            report.acknowledged += batch.recordCount
        } catch {
            report.failed += batch.recordCount
            if report.failure == nil { report.failure = error }
        }
        accumulator.finish(batch)
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
        sendReady()
    }

    private func sealed(_ batch: RecordAccumulator.Batch) throws(ClientError) -> [UInt8] {
        var builder = batch.builder
        if let assigned = sequences?.assign(batch.partition, count: batch.recordCount) {
            builder.header.producerId = assigned.producerId
            builder.header.producerEpoch = assigned.producerEpoch
            builder.header.baseSequence = assigned.baseSequence
        }
        do {
            return try builder.build()
        } catch {
            throw ClientError(.invalidArgument, "cannot compress a batch with \(options.codec.name): \(error)")
        }
    }

    /// The same bytes again and again: with a producer id the broker recognizes what it has already.
    private func sendUntilAcknowledged(
        _ bytes: [UInt8], _ batch: RecordAccumulator.Batch
    ) async throws(ClientError) {
        let deadline = batch.created + options.deliveryTimeout
        var attempt = 1
        var mayBeThere = false
        while true {
            do throws(ClientError) {
                return try await sendOnce(bytes, to: batch.partition)
            } catch {
                if error.code != .refused && error.code != .connectionFailed { mayBeThere = true }
                guard error.isRetriable, error.protocolCode != .corruptMessage else {
                    // What the broker has certainly not written leaves no gap in the numbers.
                    if !mayBeThere { sequences?.takeBack(batch.partition, count: batch.recordCount) }
                    throw error
                }
                let pause = cluster.options.backoff.delay(after: attempt)
                guard ContinuousClock.now + pause < deadline else { throw error }
                do {
                    try await Task.sleep(for: pause)
                } catch {
                    throw ClientError(.cancelled, "cancelled")
                }
                await refreshLeader(of: batch.partition)
                attempt += 1
            }
        }
    }

    private func refreshLeader(of partition: TopicPartition) async {
        do throws(ClientError) {
            try await cluster.refreshLeaders(of: [partition.topic])
        } catch {
            // The next attempt meets the same failure and reports it.
        }
    }

    private func sendOnce(_ bytes: [UInt8], to partition: TopicPartition) async throws(ClientError) {
        let connection = try await cluster.connection(.node(try await cluster.leader(of: partition)))
        var data = ProduceRequest.PartitionProduceData()
        data.index = partition.partition
        data.records = bytes
        var topic = ProduceRequest.TopicProduceData()
        topic.name = partition.topic
        topic.partitionData = [data]
        var request = ProduceRequest()
        request.acks = options.acknowledgements.rawValue
        request.timeoutMs = Int32(clamping: cluster.options.requestTimeout.milliseconds)
        request.topicData = [topic]
        // From version 13 on topics go by id, which a recreated topic changes under a waiting batch.
        guard options.acknowledgements != .none else {
            return try await connection.sendWithoutReply(request, maximumVersion: 12)
        }
        let response = try await connection.send(
            request, maximumVersion: 12, timeout: cluster.options.requestTimeout + .seconds(5))
        guard let result = response.responses.first?.partitionResponses.first else {
            throw ClientError(.malformedReply, "the broker's reply says nothing of \(partition)")
        }
        let code = ErrorCode(rawValue: result.errorCode)
        if code == .duplicateSequenceNumber { return }
        if code != .none {
            let detail = result.recordErrors.first?.batchIndexErrorMessage ?? result.errorMessage
            throw .refused(code, "\(partition)", message: detail)
        }
    }
}
