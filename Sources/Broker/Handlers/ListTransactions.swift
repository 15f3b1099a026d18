import GroupCoordinator
import KafkaProtocol
import TransactionCoordinator

/// ListTransactions: the transactional ids of this broker, by state, producer, age and pattern if asked (KIP-664,
/// KIP-1152).
enum ListTransactionsHandler: RequestHandler {
    typealias Request = ListTransactionsRequest

    static func handle(
        _ request: ListTransactionsRequest, _ context: RequestContext
    ) -> HandlerOutcome<ListTransactionsResponse> {
        let pattern = request.transactionalIdPattern.flatMap { $0.isEmpty ? nil : $0 }
        return context.toAllShards(in: context.transactions, .list(request)) { parts in
            var response = ListTransactionsResponse()
            for case .list(let part) in parts {
                if part.errorCode != ErrorCode.none.rawValue { response.errorCode = part.errorCode }
                response.unknownStateFilters = part.unknownStateFilters
                response.transactionStates += part.transactionStates
            }
            if let pattern { keep(pattern, in: &response) }
            return response
        }
    }

    private static func keep(_ pattern: String, in response: inout ListTransactionsResponse) {
        let ids = response.transactionStates.map(\.transactionalId)
        guard let matching = PatternEngine().matches(of: pattern, among: ids) else {
            response = ListTransactionsResponse()
            response.errorCode = ErrorCode.invalidRegularExpression.rawValue
            return
        }
        response.transactionStates.removeAll { !matching.contains($0.transactionalId) }
    }
}
