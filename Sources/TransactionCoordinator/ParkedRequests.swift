import CoordinatorCore
import KafkaProtocol

/// A request with what it takes to answer it.
struct PendingRequest: Sendable {
    let request: TransactionRequest
    let token: RequestToken
    let apiVersion: Int16
    /// When it is no longer worth waiting for the transaction before; set when the wait begins, and never moved.
    var deadline: Int64?
    var waitsFor: Wait?
}

/// What a request may have to wait for.
enum Wait: Sendable, Equatable {
    /// The transaction before is decided and not complete, or an earlier request of the producer waits.
    case completion
    case producerId
}

/// The requests that wait, by transactional id, in the order of their arrival.
struct ParkedRequests: Sendable {
    private var requests: [String: [PendingRequest]] = [:]

    var transactionalIds: [String] { requests.keys.sorted() }

    subscript(_ transactionalId: String) -> [PendingRequest] { requests[transactionalId] ?? [] }

    mutating func append(_ request: PendingRequest, at transactionalId: String) {
        requests[transactionalId, default: []].append(request)
    }

    mutating func removeAll(at transactionalId: String) -> [PendingRequest] {
        requests.removeValue(forKey: transactionalId) ?? []
    }

    mutating func remove(
        at transactionalId: String, where isMeant: (PendingRequest) -> Bool
    ) -> [PendingRequest] {
        let all = removeAll(at: transactionalId)
        let staying = all.filter { !isMeant($0) }
        if !staying.isEmpty { requests[transactionalId] = staying }
        return all.filter(isMeant)
    }
}
