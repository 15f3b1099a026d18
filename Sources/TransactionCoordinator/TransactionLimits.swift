/// Bounds that are not configuration.
package enum TransactionLimits {
    /// What the string of the log's key can hold.
    static let transactionalIdBytes = 32_767
    package static let partitions = 10_000
    /// Key and value of one record, and all records of one batch: within the default `max.message.bytes`.
    static let recordBytes = 1_000_000
    /// Beside key and value, at most.
    static let recordOverheadBytes = 32
    /// Requests that wait at one transactional id.
    static let parkedRequests = 16
    /// How long a request waits for the end of the transaction before it.
    static let completionWaitMs: Int64 = 500
    /// After how long a producer id is asked for again, when a time-out needs one and none was to be had.
    static let producerIdRetryMs: Int64 = 1_000

    static func accepts(transactionalId: String) -> Bool {
        !transactionalId.isEmpty && transactionalId.utf8.count <= transactionalIdBytes
    }
}
