import CoordinatorCore
import KafkaProtocol

/// Which partitions are in a transaction.
extension TransactionCoordinatorShard {
    mutating func addPartitions(
        _ id: String, _ producer: TransactionalProducer, _ partitions: [TransactionPartition],
        transactionVersion: Int16
    ) -> Handling {
        if let refusal = check(id, producer) { return refusal }
        var metadata = transactions[id]!
        if metadata.state == .ongoing && metadata.partitions.isSuperset(of: partitions) {
            return .answer(.partitions(.none))
        }
        metadata.add(partitions, clientTransactionVersion: transactionVersion, now: effects.now)
        guard metadata.partitions.count <= TransactionLimits.partitions,
            TransactionRecord.encode(id, metadata).batchBytes <= TransactionLimits.recordBytes
        else { return .refuse(.invalidRequest) }
        write(id, metadata)
        return .answer(.partitions(.none))
    }

    func verifyPartitions(
        _ id: String, _ producer: TransactionalProducer, _ partitions: [TransactionPartition]
    ) -> Handling {
        if let refusal = check(id, producer) { return refusal }
        let metadata = transactions[id]!
        return .answer(
            .verification(partitions.map { metadata.partitions.contains($0) ? .none : .transactionAbortable }))
    }

    /// Why the producer cannot have an open transaction under the id now; nil if it can.
    private func check(_ id: String, _ producer: TransactionalProducer) -> Handling? {
        guard TransactionLimits.accepts(transactionalId: id) else { return .refuse(.invalidRequest) }
        guard let metadata = transactions[id] else { return .refuse(.invalidProducerIdMapping) }
        if metadata.isSuccessor(producer) { return .wait(.completion) }
        if metadata.producer.id != producer.id { return .refuse(.invalidProducerIdMapping) }
        if metadata.producer.epoch != producer.epoch { return .refuse(.producerFenced) }
        return metadata.state.isPrepared ? .wait(.completion) : nil
    }
}
