import CoordinatorCore
import KafkaProtocol

/// A record of `__transaction_state`: the whole of what is known of one transactional id. Key and value each begin with
/// their own 16-bit version.
enum TransactionRecord {
    static let keyVersion: Int16 = 0
    static let valueVersion: Int16 = 1

    enum Decoded: Sendable, Equatable {
        case metadata(transactionalId: String, TransactionMetadata)
        case tombstone(transactionalId: String)
        /// A kind of record that this build does not know.
        case unknown(keyVersion: Int16)
    }

    static func encode(_ transactionalId: String, _ metadata: TransactionMetadata?) -> CoordinatorRecord {
        var key = TransactionLogKey()
        key.transactionalId = transactionalId
        return CoordinatorRecord(
            key: versioned(key, keyVersion), value: metadata.map { versioned(value(of: $0), valueVersion) })
    }

    private static func value(of metadata: TransactionMetadata) -> TransactionLogValue {
        var value = TransactionLogValue()
        value.producerId = metadata.producer.id
        value.previousProducerId = metadata.previousProducerId
        value.nextProducerId = metadata.nextProducerId
        value.producerEpoch = metadata.producer.epoch
        value.transactionTimeoutMs = metadata.timeoutMs
        value.transactionStatus = metadata.state.rawValue
        value.transactionPartitions = metadata.state == .empty ? nil : grouped(metadata.partitions)
        value.transactionLastUpdateTimestampMs = metadata.lastUpdateTimestamp
        value.transactionStartTimestampMs = metadata.startTimestamp
        value.clientTransactionVersion = metadata.clientTransactionVersion
        return value
    }

    private static func grouped(_ partitions: Set<TransactionPartition>) -> [TransactionLogValue.PartitionsSchema] {
        var topics: [TransactionLogValue.PartitionsSchema] = []
        for partition in partitions.sorted() {
            if topics.last?.topic != partition.topic {
                topics.append(TransactionLogValue.PartitionsSchema())
                topics[topics.count - 1].topic = partition.topic
            }
            topics[topics.count - 1].partitionIds.append(partition.partition)
        }
        return topics
    }

    private static func versioned(_ message: some ProtocolMessage, _ version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(version)
        message.encode(to: &writer, version: version)
        return writer.bytes
    }

    static func decode(key: [UInt8], value: [UInt8]?) throws(ProtocolDecodingError) -> Decoded {
        let keyVersion = try version(of: key)
        guard keyVersion == Self.keyVersion else { return .unknown(keyVersion: keyVersion) }
        let id = try TransactionLogKey.decode(Array(key.dropFirst(2)), version: keyVersion).transactionalId
        guard let value else { return .tombstone(transactionalId: id) }
        let read = try TransactionLogValue.decode(Array(value.dropFirst(2)), version: try version(of: value))
        guard let state = TransactionState(rawValue: read.transactionStatus) else { throw .unsupportedVersion }
        // An id that expires is as good as gone.
        if state == .dead { return .tombstone(transactionalId: id) }
        var metadata = TransactionMetadata(
            producer: TransactionalProducer(id: read.producerId, epoch: read.producerEpoch),
            timeoutMs: read.transactionTimeoutMs, lastUpdateTimestamp: read.transactionLastUpdateTimestampMs)
        metadata.previousProducerId = read.previousProducerId
        metadata.nextProducerId = read.nextProducerId
        // An epoch fence has decided nothing yet: the transaction is open, and will be aborted by its time-out.
        metadata.state = state == .prepareEpochFence ? .ongoing : state
        for topic in read.transactionPartitions ?? [] {
            for partition in topic.partitionIds {
                metadata.partitions.insert(TransactionPartition(topic: topic.topic, partition: partition))
            }
        }
        metadata.startTimestamp = read.transactionStartTimestampMs
        metadata.clientTransactionVersion = read.clientTransactionVersion
        return .metadata(transactionalId: id, metadata)
    }

    private static func version(of bytes: [UInt8]) throws(ProtocolDecodingError) -> Int16 {
        guard bytes.count >= 2 else { throw .truncated }
        return Int16(bitPattern: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
    }
}
