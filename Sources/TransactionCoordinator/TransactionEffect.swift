import CoordinatorCore
import KafkaProtocol

package typealias TransactionAction = CoordinatorAction<TransactionResponse, TransactionEffect>

/// What the coordinator wants of the world.
package enum TransactionEffect: Sendable, Equatable {
    /// Get a producer id that nobody had before, then call `producerIdAllocated`. Each ticket must be answered, if only
    /// with an error. Not held back by appends.
    case allocateProducerId(ProducerIdTicket)
    /// Write this end to the partitions, then call `markersWritten` when it is durable in all that still exist.
    case writeMarkers(TransactionMarkers)
}

/// Names a request for a producer id.
package struct ProducerIdTicket: Hashable, Sendable {
    package let transactionalId: String
    let sequence: UInt64
}

/// Why there is no producer id.
package struct ProducerIdError: Error, Equatable {
    package let code: ErrorCode

    package init(code: ErrorCode) {
        self.code = code
    }
}

/// Names a decided transaction. It is made of what the log keeps, so that a late report which was meant for an earlier
/// machine of the same partition is either true of this one as well or fits nothing.
package struct MarkersTicket: Hashable, Sendable {
    package let transactionalId: String
    let producer: TransactionalProducer
    let isCommit: Bool
    /// No two decisions of a transactional id are made at the same time; see `TransactionMetadata.prepare`.
    let decidedAt: Int64
}

/// The end of a transaction and the partitions that must learn of it.
package struct TransactionMarkers: Sendable, Equatable {
    package let ticket: MarkersTicket
    package var end: TransactionEnd
    /// Ascending, at least one.
    package var partitions: [TransactionPartition]
    /// How often the driver has tried, for its own use.
    package var attempts = 0
}
