/// A record of a coordinator's topic as bytes. A nil value is a tombstone: compaction forgets the key.
package struct CoordinatorRecord: Sendable, Hashable {
    package let key: [UInt8]
    package let value: [UInt8]?

    package init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// What a coordinator writes at once to its partition.
package enum CoordinatorBatch: Sendable, Equatable {
    case records([CoordinatorRecord])
    /// Records that count only once their producer's transaction is committed.
    case transactional([CoordinatorRecord], TransactionalProducer)
    /// The end of a producer's transaction in this partition.
    case endOfTransaction(TransactionEnd)
}

/// A producer in one of its incarnations.
package struct TransactionalProducer: Sendable, Hashable {
    package var id: Int64
    package var epoch: Int16

    package init(id: Int64, epoch: Int16) {
        self.id = id
        self.epoch = epoch
    }
}

/// What a transaction coordinator tells a partition when a transaction is decided.
package struct TransactionEnd: Sendable, Hashable {
    package var producerId: Int64
    package var producerEpoch: Int16
    package var isCommit: Bool
    /// The epoch of the transaction coordinator; a marker of one that was replaced is refused.
    package var coordinatorEpoch: Int32
    /// From 2 on each transaction has a producer epoch of its own, and its end carries the next one (KIP-890). A log
    /// does not keep it: replayed ends have 0.
    package var transactionVersion: Int16

    package init(
        producerId: Int64, producerEpoch: Int16, isCommit: Bool, coordinatorEpoch: Int32,
        transactionVersion: Int16 = 0
    ) {
        self.producerId = producerId
        self.producerEpoch = producerEpoch
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
        self.transactionVersion = transactionVersion
    }
}
