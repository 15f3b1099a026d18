import CoordinatorCore
import KafkaProtocol

package enum TransactionResponse: WithdrawableResponse {
    case initProducerId(InitProducerIdResponse)
    /// The answer to `addPartitions`, the same for each partition.
    case partitions(ErrorCode)
    /// The answer to `verifyPartitions`, in the request's order. A partition that is not in the transaction is
    /// TRANSACTION_ABORTABLE.
    case verification([ErrorCode])
    case endTransaction(EndTxnResponse)
    case describe([DescribeTransactionsResponse.TransactionState])
    case list(ListTransactionsResponse)
}

extension TransactionResponse {
    /// An answer that says only what went wrong, in the words that the version knows.
    package static func failure(
        _ request: TransactionRequest, apiVersion: Int16, _ code: ErrorCode
    ) -> TransactionResponse {
        switch request {
        case .initProducerId:
            return .initProducerId(.failure(code.known(since: 4, apiVersion)))
        case .addPartitions:
            return .partitions(code.known(since: 2, apiVersion))
        case .verifyPartitions(_, _, let partitions):
            return .verification(partitions.map { _ in code })
        case .endTransaction:
            return .endTransaction(.failure(code.known(since: 2, apiVersion)))
        case .describe(let ids):
            return .describe(ids.map { .failure(code, transactionalId: $0) })
        case .list:
            return .list(.failure(code))
        }
    }

    package func failed(_ error: ErrorCode) -> TransactionResponse {
        let code = AppendError.responseCode(for: error)
        switch self {
        case .initProducerId: return .initProducerId(.failure(code))
        case .partitions: return .partitions(code)
        case .verification(let codes): return .verification(codes.map { _ in code })
        case .endTransaction: return .endTransaction(.failure(code))
        case .describe(let states): return .describe(states.map { .failure(code, transactionalId: $0.transactionalId) })
        case .list: return .list(.failure(code))
        }
    }
}

extension TransactionResponse {
    /// The answer for each partition of an `addPartitions` or `verifyPartitions` that named `count` of them.
    package func codes(count: Int) -> [ErrorCode] {
        switch self {
        case .partitions(let code): return [ErrorCode](repeating: code, count: count)
        case .verification(let codes):
            precondition(codes.count == count, "an answer to another request")
            return codes
        case .initProducerId, .endTransaction, .describe, .list:
            preconditionFailure("an answer that has no partitions")
        }
    }
}

extension ErrorCode {
    /// PRODUCER_FENCED is younger than the APIs that need it; before `version` they say INVALID_PRODUCER_EPOCH.
    fileprivate func known(since version: Int16, _ apiVersion: Int16) -> ErrorCode {
        self == .producerFenced && apiVersion < version ? .invalidProducerEpoch : self
    }
}

extension InitProducerIdResponse {
    static func failure(_ code: ErrorCode) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        response.errorCode = code.rawValue
        response.producerEpoch = -1
        return response
    }
}

extension EndTxnResponse {
    static func failure(_ code: ErrorCode) -> EndTxnResponse {
        var response = EndTxnResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension DescribeTransactionsResponse.TransactionState {
    static func failure(_ code: ErrorCode, transactionalId: String) -> Self {
        var state = Self()
        state.errorCode = code.rawValue
        state.transactionalId = transactionalId
        return state
    }
}

extension ListTransactionsResponse {
    static func failure(_ code: ErrorCode) -> ListTransactionsResponse {
        var response = ListTransactionsResponse()
        response.errorCode = code.rawValue
        return response
    }
}
