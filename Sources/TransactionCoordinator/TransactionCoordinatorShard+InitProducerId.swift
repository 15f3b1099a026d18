import CoordinatorCore
import KafkaProtocol

/// InitProducerId: a producer begins, fencing those that had the transactional id before, or goes on after an error
/// (KIP-360).
extension TransactionCoordinatorShard {
    mutating func initProducerId(_ request: InitProducerIdRequest) -> Handling {
        guard let id = request.transactionalId, TransactionLimits.accepts(transactionalId: id) else {
            return .refuse(.invalidRequest)
        }
        // KIP-939: two-phase commit is not there.
        if request.enable2Pc { return .refuse(.transactionalIdAuthorizationFailed) }
        if request.keepPreparedTxn { return .refuse(.unsupportedVersion) }
        let timeout = request.transactionTimeoutMs
        guard timeout > 0, timeout <= configuration.transactionMaxTimeoutMs else {
            return .refuse(.invalidTransactionTimeout)
        }
        let hasId = request.producerId != TransactionMetadata.noProducerId
        let hasEpoch = request.producerEpoch != TransactionMetadata.noProducerEpoch
        guard hasId == hasEpoch else { return .refuse(.invalidRequest) }
        let expected =
            hasId ? TransactionalProducer(id: request.producerId, epoch: request.producerEpoch) : nil

        guard let metadata = transactions[id] else {
            // Who has an id of a transactional id that is forgotten gets a new one, like everyone else.
            guard let producerId = producerIds.take(for: id) else { return .wait(.producerId) }
            write(id, TransactionMetadata(newProducerId: producerId, timeoutMs: timeout, now: effects.now))
            return answerInitialized(id)
        }
        if let expected, !isPlausible(expected, metadata) { return .refuse(.producerFenced) }
        switch metadata.state {
        case .prepareCommit, .prepareAbort:
            return .wait(.completion)
        case .ongoing:
            // Only the transaction's own producer, or one that begins, may end it.
            if let expected, expected != metadata.producer { return .refuse(.producerFenced) }
            return abortByCoordinator(id) ? .wait(.completion) : .wait(.producerId)
        case .empty, .completeCommit, .completeAbort:
            return initialize(id, metadata, expected, timeoutMs: timeout)
        case .dead, .prepareEpochFence:
            preconditionFailure("a state that is never held")
        }
    }

    /// Whether the producer is the present one or may have been it: after its epochs were used up it still knows its
    /// old id, when it did not get the answer.
    private func isPlausible(_ expected: TransactionalProducer, _ metadata: TransactionMetadata) -> Bool {
        expected.id == metadata.producer.id
            || expected.id == metadata.previousProducerId && TransactionMetadata.isExhausted(epoch: expected.epoch)
            || metadata.isSuccessor(expected)
    }

    private mutating func initialize(
        _ id: String, _ before: TransactionMetadata, _ expected: TransactionalProducer?, timeoutMs: Int32
    ) -> Handling {
        var metadata = before
        let now = effects.now
        if let expected, expected != metadata.producer {
            // The same request again: its first answer was lost.
            guard expected.epoch == metadata.lastProducerEpoch else { return .refuse(.producerFenced) }
            metadata.initialize(
                as: metadata.producer, lastEpoch: metadata.lastProducerEpoch, timeoutMs: timeoutMs, now: now)
        } else {
            let lastEpoch = expected?.epoch ?? TransactionMetadata.noProducerEpoch
            var producer = metadata.producer
            if metadata.isEpochExhausted {
                guard let producerId = producerIds.take(for: id) else { return .wait(.producerId) }
                producer = TransactionalProducer(id: producerId, epoch: 0)
            } else {
                producer.epoch += 1
            }
            metadata.initialize(as: producer, lastEpoch: lastEpoch, timeoutMs: timeoutMs, now: now)
        }
        write(id, metadata)
        return answerInitialized(id)
    }

    private func answerInitialized(_ id: String) -> Handling {
        let producer = transactions[id]!.producer
        var response = InitProducerIdResponse()
        response.producerId = producer.id
        response.producerEpoch = producer.epoch
        return .answer(.initProducerId(response))
    }
}
