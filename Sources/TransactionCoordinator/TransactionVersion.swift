/// The versions of the transaction protocol (the feature `transaction.version`).
enum TransactionVersion {
    static let classic: Int16 = 0
    /// From here on every end of a transaction gives its producer a new epoch (KIP-890).
    static let epochBump: Int16 = 2
    /// The first EndTxn whose client knows of that.
    static let endTxnApiVersion: Int16 = 5
    /// What the coordinator uses when it ends a transaction by itself.
    static let ofCoordinator = epochBump
}
