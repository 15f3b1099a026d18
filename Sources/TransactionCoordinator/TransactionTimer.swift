/// What may happen to a transactional id when nobody says anything.
enum TransactionTimer: Hashable, Sendable {
    /// The open transaction is older than its producer allows.
    case timeout(transactionalId: String)
    /// A request has waited long enough for the end of the transaction before it.
    case parked(transactionalId: String)
    /// Idle ids are looked for.
    case expiration
}
