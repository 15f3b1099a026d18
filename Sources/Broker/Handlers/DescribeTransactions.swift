import KafkaProtocol
import TransactionCoordinator

/// DescribeTransactions: the state of transactional ids and the partitions of their transactions (KIP-664).
enum DescribeTransactionsHandler: RequestHandler {
    typealias Request = DescribeTransactionsRequest

    static func handle(
        _ request: DescribeTransactionsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeTransactionsResponse> {
        context.toShards(of: request.transactionalIds, in: context.transactions) {
            $0
        } request: {
            .describe($0)
        } merge: { parts in
            var response = DescribeTransactionsResponse()
            for case .describe(let states) in parts { response.transactionStates += states }
            return response
        }
    }
}
