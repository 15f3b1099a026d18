import CoordinatorCore
import KafkaProtocol

/// The requests that a shard answers, for transactional ids of this shard only.
///
/// The version of the context is that of the API that the client used. For partitions that are added or verified on
/// behalf of Produce or TxnOffsetCommit the answer is the coordinator's own; the driver turns it into what that API
/// knows.
package enum TransactionRequest: Sendable, Equatable {
    /// Must have a transactional id: producers without one need no coordinator.
    case initProducerId(InitProducerIdRequest)
    /// AddPartitionsToTxn and AddOffsetsToTxn; with `transactionVersion` 2 an implicit add (KIP-890). The partitions
    /// exist.
    case addPartitions(
        transactionalId: String, producer: TransactionalProducer, partitions: [TransactionPartition],
        transactionVersion: Int16)
    case verifyPartitions(
        transactionalId: String, producer: TransactionalProducer, partitions: [TransactionPartition])
    /// From version 5 on the client speaks transaction version 2.
    case endTransaction(EndTxnRequest)
    case describe([String])
    /// All filters but the pattern of version 2, which is the driver's.
    case list(ListTransactionsRequest)
}

extension TransactionRequest {
    /// Of requests that may have to wait.
    var transactionalId: String? {
        switch self {
        case .initProducerId(let request): request.transactionalId
        case .addPartitions(let id, _, _, _), .verifyPartitions(let id, _, _): id
        case .endTransaction(let request): request.transactionalId
        case .describe, .list: nil
        }
    }

    /// Of requests that belong to a producer's transaction.
    var producer: TransactionalProducer? {
        switch self {
        case .addPartitions(_, let producer, _, _), .verifyPartitions(_, let producer, _): producer
        case .endTransaction(let request):
            TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
        case .initProducerId, .describe, .list: nil
        }
    }
}
