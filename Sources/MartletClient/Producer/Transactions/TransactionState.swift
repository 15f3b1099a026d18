/// Where a producer's transaction stands.
struct TransactionState: Sendable {
    enum Phase: Equatable {
        case idle
        case open
        case ending
    }
    var phase = Phase.idle
    var failure: ClientError?

    mutating func checkOpen() throws(ClientError) {
        guard phase == .open else {
            throw ClientError(.invalidState, "a transactional producer sends inside of withTransaction only")
        }
        if let failure { throw failure }
    }

    mutating func fail(_ error: ClientError) {
        if phase != .idle, failure == nil { failure = error }
    }

    func maySend(_ slot: Int) -> Bool { phase != .idle }
}
