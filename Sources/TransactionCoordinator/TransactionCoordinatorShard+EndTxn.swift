import CoordinatorCore
import KafkaProtocol

/// EndTxn: a producer commits or aborts.
extension TransactionCoordinatorShard {
    mutating func endTransaction(_ request: EndTxnRequest, apiVersion: Int16) -> Handling {
        let id = request.transactionalId
        guard TransactionLimits.accepts(transactionalId: id) else { return .refuse(.invalidRequest) }
        guard let metadata = transactions[id] else { return .refuse(.invalidProducerIdMapping) }
        return apiVersion >= TransactionVersion.endTxnApiVersion
            ? endWithEpochBump(request, metadata) : endClassically(request, metadata)
    }

    /// Transaction version 1 and before: the producer keeps its epoch, so a repeated request is known by the outcome.
    private mutating func endClassically(_ request: EndTxnRequest, _ metadata: TransactionMetadata) -> Handling {
        let producer = TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
        if producer.id != metadata.producer.id { return .refuse(.invalidProducerIdMapping) }
        if producer.epoch != metadata.producer.epoch { return .refuse(.producerFenced) }
        switch (metadata.state, request.committed) {
        case (.ongoing, _):
            let isDecided = decide(
                request.transactionalId, isCommit: request.committed, transactionVersion: TransactionVersion.classic)
            precondition(isDecided, "a transaction that keeps its epoch needs no producer id")
            return .answer(.endTransaction(EndTxnResponse()))
        // The end of a transaction of version 2 is not that of a producer which has the epoch after it. Kafka does
        // not look.
        case _ where metadata.clientTransactionVersion >= TransactionVersion.epochBump:
            return .refuse(.invalidTxnState)
        case (.completeCommit, true), (.completeAbort, false):
            return .answer(.endTransaction(EndTxnResponse()))
        case (.prepareCommit, true), (.prepareAbort, false):
            return .refuse(.concurrentTransactions)
        default:
            return .refuse(.invalidTxnState)
        }
    }

    /// Transaction version 2: each end gives the producer its next epoch, so a repeated request is known by the epoch
    /// before.
    ///
    /// | state          | abort, repeated | abort, present epoch | commit, repeated | commit, present epoch |
    /// |----------------|-----------------|----------------------|------------------|-----------------------|
    /// | Empty          | fenced          | next epoch           | fenced           | invalid state         |
    /// | CompleteAbort  | done            | next epoch           | invalid state    | invalid state         |
    /// | CompleteCommit | invalid state   | next epoch           | done             | invalid state         |
    private mutating func endWithEpochBump(_ request: EndTxnRequest, _ metadata: TransactionMetadata) -> Handling {
        let id = request.transactionalId
        let producer = TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
        // The end of the transaction after the one that is being written.
        if metadata.isSuccessor(producer) { return .wait(.completion) }
        let isRepeated = isRepeatedEnd(by: producer, metadata)
        if producer.id != metadata.producer.id && !isRepeated { return .refuse(.invalidProducerIdMapping) }
        switch metadata.state {
        case .ongoing, .empty:
            if producer != metadata.producer { return .refuse(.producerFenced) }
            if metadata.state == .empty && request.committed { return .refuse(.invalidTxnState) }
        case .prepareCommit, .prepareAbort:
            guard isRepeated else { return .refuse(.producerFenced) }
            let isSame = request.committed == (metadata.state == .prepareCommit)
            return .refuse(isSame ? .concurrentTransactions : .invalidTxnState)
        case .completeCommit, .completeAbort:
            guard isRepeated || producer == metadata.producer else { return .refuse(.producerFenced) }
            if isRepeated {
                let isSame = request.committed == (metadata.state == .completeCommit)
                return isSame ? answerEnded(metadata) : .refuse(.invalidTxnState)
            }
            if request.committed { return .refuse(.invalidTxnState) }
        case .dead, .prepareEpochFence:
            preconditionFailure("a state that is never held")
        }
        // From the idle states an abort without partitions: the producer could not tell whether any was added.
        guard decide(id, isCommit: request.committed, transactionVersion: TransactionVersion.epochBump) else {
            return .wait(.producerId)
        }
        return answerEnded(transactions[id]!)
    }

    /// Whether the producer is the one whose transaction was ended last, with version 2. Kafka looks only at the epoch;
    /// a producer that was fenced just before a transaction of version 1 would then take that one's end for its own.
    private func isRepeatedEnd(by producer: TransactionalProducer, _ metadata: TransactionMetadata) -> Bool {
        guard !(metadata.state == .empty || metadata.state == .ongoing),
            metadata.clientTransactionVersion >= TransactionVersion.epochBump
        else { return false }
        let present = metadata.producer
        if producer.id == present.id { return Int(producer.epoch) + 1 == Int(present.epoch) }
        return producer.id == metadata.previousProducerId && producer.epoch == .max - 1 && present.epoch == 0
    }

    private func answerEnded(_ metadata: TransactionMetadata) -> Handling {
        var response = EndTxnResponse()
        response.producerId = metadata.clientProducer.id
        response.producerEpoch = metadata.clientProducer.epoch
        return .answer(.endTransaction(response))
    }
}
