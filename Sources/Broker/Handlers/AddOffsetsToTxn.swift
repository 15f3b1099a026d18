import ClusterMetadata
import CoordinatorCore
import KafkaProtocol
import TransactionCoordinator

/// AddOffsetsToTxn: a transaction is about to commit offsets of a group, so the group's partition of
/// `__consumer_offsets` becomes one of its partitions.
enum AddOffsetsToTxnHandler: RequestHandler {
    typealias Request = AddOffsetsToTxnRequest

    static func handle(
        _ request: AddOffsetsToTxnRequest, _ context: RequestContext
    ) -> HandlerOutcome<AddOffsetsToTxnResponse> {
        let ticket = context.laterReply(AddOffsetsToTxnResponse.self)
        let coordinatorContext = context.coordinatorContext
        context.broker.groupsPartition(of: request.groupId) { broker, partition in
            let addition = TransactionRequest.addPartitions(
                transactionalId: request.transactionalId,
                producer: TransactionalProducer(id: request.producerId, epoch: request.producerEpoch),
                partitions: [TransactionPartition(topic: InternalTopic.consumerOffsets, partition: partition)],
                transactionVersion: 1)
            broker.transactions.shards.ask(request.transactionalId, addition, coordinatorContext) { answer in
                ticket.complete(response(answer.codes(count: 1)[0]))
            }
        } orElse: {
            ticket.complete(response(.coordinatorNotAvailable))
        }
        return .later
    }

    private static func response(_ code: ErrorCode) -> AddOffsetsToTxnResponse {
        var response = AddOffsetsToTxnResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension Broker {
    /// The partition of `__consumer_offsets` that has a group. The topic is made if it is not there, since a producer
    /// may speak of a group before anybody has asked for its coordinator.
    func groupsPartition(
        of groupId: String, _ found: @escaping @Sendable (Broker, Int32) -> Void,
        orElse failed: @escaping @Sendable () -> Void
    ) {
        if let partition = groups.shards.partition(of: groupId) {
            found(self, partition)
            return
        }
        ensureTopic(InternalTopic.consumerOffsets) { [self] in
            if let partition = groups.shards.partition(of: groupId) { found(self, partition) } else { failed() }
        }
    }
}
