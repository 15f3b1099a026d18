import KafkaProtocol
import TransactionCoordinator

/// EndTxn: commits or aborts a transaction. The reply says that the decision is durable; the coordinator then tells the
/// partitions.
enum EndTxnHandler: RequestHandler {
    typealias Request = EndTxnRequest

    static func handle(_ request: EndTxnRequest, _ context: RequestContext) -> HandlerOutcome<EndTxnResponse> {
        context.toShard(of: request.transactionalId, in: context.transactions, .endTransaction(request)) {
            guard case .endTransaction(let response) = $0 else { return nil }
            return response
        }
    }
}
