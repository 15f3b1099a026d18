import ClusterMetadata
import CoordinatorCore
import KafkaProtocol
import TransactionCoordinator

/// AddPartitionsToTxn: what a transaction is about to write to. From version 4 on other brokers ask, for several
/// transactions at once, and may ask only whether the partitions are there (KIP-890).
enum AddPartitionsToTxnHandler: RequestHandler {
    typealias Request = AddPartitionsToTxnRequest
    typealias Response = AddPartitionsToTxnResponse

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        let topics = request.v3AndBelowTopics + request.transactions.flatMap(\.topics)
        let count = topics.reduce(0) { $0 + $1.partitions.count }
        guard count <= TransactionLimits.partitions else {
            context.connection.close(because: "\(count) partitions of transactions in one request")
            return .later
        }
        let ticket = context.laterReply(Response.self)
        if context.version < 4 {
            var transaction = Request.AddPartitionsToTxnTransaction()
            transaction.transactionalId = request.v3AndBelowTransactionalId
            transaction.producerId = request.v3AndBelowProducerId
            transaction.producerEpoch = request.v3AndBelowProducerEpoch
            transaction.topics = request.v3AndBelowTopics
            add(transaction, context) { results in
                var response = Response()
                response.resultsByTopicV3AndBelow = results
                ticket.complete(response)
            }
            return .later
        }
        guard !request.transactions.isEmpty else {
            ticket.complete(Response())
            return .later
        }
        let gathering = Gathering<[Response.AddPartitionsToTxnTopicResult]>(count: request.transactions.count) {
            parts in
            var response = Response()
            response.resultsByTransaction = zip(request.transactions, parts).map { transaction, topics in
                var result = Response.AddPartitionsToTxnResult()
                result.transactionalId = transaction.transactionalId
                result.topicResults = topics
                return result
            }
            ticket.complete(response)
        }
        for (index, transaction) in request.transactions.enumerated() {
            add(transaction, context) { gathering.add($0, at: index) }
        }
        return .later
    }

    private static func add(
        _ transaction: Request.AddPartitionsToTxnTransaction, _ context: RequestContext,
        done: @escaping @Sendable ([Response.AddPartitionsToTxnTopicResult]) -> Void
    ) {
        let partitions = transaction.topics.flatMap { topic in
            topic.partitions.map { TransactionPartition(topic: topic.name, partition: $0) }
        }
        let objections = partitions.map { objection(to: $0, context.loop.topics) }
        if objections.contains(where: { $0 != .none }) {
            // All or nothing, as in Kafka.
            done(results(transaction, objections.map { $0 == .none ? .operationNotAttempted : $0 }))
            return
        }
        let producer = TransactionalProducer(id: transaction.producerId, epoch: transaction.producerEpoch)
        let id = transaction.transactionalId
        let apiVersion = context.version
        let request: TransactionRequest =
            transaction.verifyOnly
            ? .verifyPartitions(transactionalId: id, producer: producer, partitions: partitions)
            : .addPartitions(
                transactionalId: id, producer: producer, partitions: partitions,
                transactionVersion: context.version >= 5 ? 2 : 1)
        context.transactions.ask(id, request, context.coordinatorContext) { response in
            // Version 4 has no word for "abort and try again".
            let codes = response.codes(count: partitions.count).map { code in
                code == .transactionAbortable && apiVersion < 5 ? .invalidTxnState : code
            }
            done(results(transaction, codes))
        }
    }

    private static func objection(to partition: TransactionPartition, _ topics: TopicTable) -> ErrorCode {
        guard let topic = topics.topic(named: partition.topic), topic.leaders.indices.contains(Int(partition.partition))
        else {
            return .unknownTopicOrPartition
        }
        // No client writes there, and the coordinator's own log has no transactions.
        return topic.name == InternalTopic.transactionState ? .invalidTopicException : .none
    }

    private static func results(
        _ transaction: Request.AddPartitionsToTxnTransaction, _ codes: [ErrorCode]
    ) -> [Response.AddPartitionsToTxnTopicResult] {
        var codes = codes[...]
        return transaction.topics.map { topic in
            var result = Response.AddPartitionsToTxnTopicResult()
            result.name = topic.name
            result.resultsByPartition = topic.partitions.map { partition in
                var single = Response.AddPartitionsToTxnPartitionResult()
                single.partitionIndex = partition
                single.partitionErrorCode = codes.removeFirst().rawValue
                return single
            }
            return result
        }
    }
}
