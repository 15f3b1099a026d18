import ClusterMetadata
import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import TransactionCoordinator

/// TxnOffsetCommit: offsets of a group that count when the transaction is committed. The transaction's coordinator is
/// asked first; from version 5 on it adds the group's partition to the transaction (KIP-890).
enum TxnOffsetCommitHandler: RequestHandler {
    typealias Request = TxnOffsetCommitRequest

    static func handle(
        _ request: TxnOffsetCommitRequest, _ context: RequestContext
    ) -> HandlerOutcome<TxnOffsetCommitResponse> {
        let ticket = context.laterReply(TxnOffsetCommitResponse.self)
        let coordinatorContext = context.coordinatorContext
        context.broker.groupsPartition(of: request.groupId) { broker, partition in
            guard let shard = broker.groups.shards[partition] else {
                ticket.complete(.failure(request, .notCoordinator))
                return
            }
            // Taken before anything is asked, so that an end which comes in between is noticed.
            let transactionGuard = shard.read(\.transactionGuard)
            broker.transactions.admit(
                request.transactionalId, TransactionalProducer(id: request.producerId, epoch: request.producerEpoch),
                [TransactionPartition(topic: InternalTopic.consumerOffsets, partition: partition)],
                as: coordinatorContext.apiVersion >= 5 ? .implicitlyAdded : .verified, coordinatorContext
            ) { codes in
                guard codes[0] == .none else {
                    let code = error(for: codes[0], apiVersion: coordinatorContext.apiVersion)
                    ticket.complete(.failure(request, code))
                    return
                }
                shard.handle(.txnOffsetCommit(request, guard: transactionGuard), coordinatorContext) { response in
                    guard case .txnOffsetCommit(let response) = response else {
                        preconditionFailure("the coordinator answered another request than was asked")
                    }
                    ticket.complete(response)
                }
            }
        } orElse: {
            ticket.complete(.failure(request, .coordinatorNotAvailable))
        }
        return .later
    }

    private static func error(for code: ErrorCode, apiVersion: Int16) -> ErrorCode {
        switch code {
        case .producerFenced: .invalidProducerEpoch
        case .transactionAbortable: apiVersion >= 4 ? code : .invalidTxnState
        case .concurrentTransactions: apiVersion >= 5 ? code : .coordinatorNotAvailable
        // Of the transaction's coordinator, not of the group's, which the client would look for again.
        case .notCoordinator: .coordinatorNotAvailable
        default: code
        }
    }
}
