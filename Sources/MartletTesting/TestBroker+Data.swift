import Broker
import ClusterMetadata
import CommitLog
import KafkaProtocol
import RecordFormat
import Replication

extension TestBroker {
    /// Which records a read is told of.
    public enum Isolation: Sendable, Hashable {
        /// `read_committed`: no records of transactions that are open or were aborted.
        case readCommitted
        /// `read_uncommitted`: all that consumers may see at all.
        case readUncommitted
    }

    // MARK: Topics

    /// Makes a topic, which is there when this returns. The configuration is the topic's, by Kafka's names.
    public func createTopic(
        _ name: String, partitions: Int = 1, configuration: [String: String] = [:]
    ) async throws(TestBrokerError) {
        let broker = try running().broker
        var topic = NewTopic(
            name: name, partitionCount: Int32(clamping: partitions), replicationFactor: 1)
        topic.configuration = configuration.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let new = topic
        let refusal = await withCheckedContinuation { (continuation: CheckedContinuation<MetadataRefusal?, Never>) in
            broker.control.enqueue {
                do throws(MetadataRefusal) {
                    _ = try broker.topicService.create(new)
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
        if let refusal {
            throw TestBrokerError(
                .refused, "topic '\(name)': \(refusal.message)", brokerError: BrokerErrorCode(refusal.code))
        }
    }

    // MARK: Records

    /// The records of a partition, in order, as a consumer would be given them. For tests: all are held in memory.
    public func records(
        of topic: String, partition: Int = 0, isolation: Isolation = .readCommitted
    ) throws(TestBrokerError) -> [StoredRecord] {
        let leader = try leader(of: topic, partition)
        let log = leader.log
        let end = leader.visibleEnd(committedOnly: isolation == .readCommitted)
        let aborted = isolation == .readCommitted ? log.abortedTransactions(from: log.startOffset, to: end) : []
        var records: [StoredRecord] = []
        var position = log.startOffset
        do {
            while position < end {
                let slice = try log.read(from: position, maxBytes: 1 << 20, minOneBatch: true, upTo: end)
                guard !slice.isEmpty else { break }
                var bytes = [UInt8](repeating: 0, count: slice.length)
                let count = try bytes.withUnsafeMutableBytes { try log.copy(slice, into: $0) }
                let next = try bytes.withUnsafeBytes { memory in
                    try TestBroker.read(
                        UnsafeRawBufferPointer(rebasing: memory[..<count]), from: position, without: aborted,
                        into: &records)
                }
                guard let next, next > position else { break }
                position = next
            }
        } catch {
            throw TestBrokerError(.unreadable, "\(topic)-\(partition): \(error)")
        }
        return records
    }

    /// The offset that the partition's next visible record gets.
    public func endOffset(
        of topic: String, partition: Int = 0, isolation: Isolation = .readUncommitted
    ) throws(TestBrokerError) -> Int64 {
        try leader(of: topic, partition).visibleEnd(committedOnly: isolation == .readCommitted)
    }

    // MARK: Groups

    /// The offset that a group has committed, which is the one of the record that it reads next; nil when it has none.
    public func committedOffset(
        of group: String, topic: String, partition: Int = 0
    ) async throws(TestBrokerError) -> Int64? {
        let broker = try running().broker
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Int64?, ErrorCode>, Never>) in
            broker.groups.committedOffset(of: group, topic: topic, partition: Int32(clamping: partition)) {
                continuation.resume(returning: $0)
            }
        }
        switch result {
        case .success(let offset): return offset
        case .failure(let code):
            throw TestBrokerError(.refused, "group '\(group)': \(code)", brokerError: BrokerErrorCode(code))
        }
    }

    // MARK: Inside

    private func leader(of topic: String, _ partition: Int) throws(TestBrokerError) -> PartitionLeader {
        let found = try running().broker.topics.topic(named: topic)?.leader(of: Int32(clamping: partition))
        guard let found else {
            throw TestBrokerError(.unknownPartition, "there is no partition \(partition) of topic '\(topic)'")
        }
        return found
    }

    /// Reads whole batches; returns where the next read goes on.
    private static func read(
        _ bytes: UnsafeRawBufferPointer, from start: Int64, without aborted: [AbortedTransaction],
        into records: inout [StoredRecord]
    ) throws(RecordFormatError) -> Int64? {
        let reader = RecordBatchReader()
        var next: Int64?
        var position = 0
        while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: bytes[position...])),
            header.totalLength <= bytes.count - position
        {
            let batch = UnsafeRawBufferPointer(rebasing: bytes[position..<position + header.totalLength])
            position += header.totalLength
            next = header.nextOffset
            // An aborted transaction's records stand between its first one and its marker.
            let isAborted = aborted.contains { transaction in
                header.isTransactional && header.producerId == transaction.producerId
                    && header.baseOffset >= transaction.firstOffset && header.lastOffset <= transaction.lastOffset
            }
            guard !header.isControl, !isAborted else { continue }
            for record in try reader.records(of: batch) where record.offset >= start {
                records.append(StoredRecord(record))
            }
        }
        return next
    }
}
