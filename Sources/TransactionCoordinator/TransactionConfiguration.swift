/// The broker's settings for transactions, with Kafka's defaults.
package struct TransactionConfiguration: Sendable, Equatable {
    /// `transaction.max.timeout.ms`: the longest time-out that a producer may ask for.
    package var transactionMaxTimeoutMs: Int32 = 900_000
    /// `transactional.id.expiration.ms`: how long a transactional id without transactions is remembered.
    package var transactionalIdExpirationMs: Int64 = 604_800_000
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: how often expired ids are looked for.
    package var expirationCheckIntervalMs: Int64 = 3_600_000

    package init() {}
}
