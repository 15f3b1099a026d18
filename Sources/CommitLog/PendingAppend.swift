import RecordFormat

/// A validated batch waiting at its partition for the end of the tick.
package struct PendingAppend {
    package var header: RecordBatchHeader
    /// The whole batch, valid until `append` returns. Never written to.
    package var bytes: UnsafeRawBufferPointer
    package var permission: AppendPermission
    package var outcome: AppendOutcome

    package init(
        header: RecordBatchHeader, bytes: UnsafeRawBufferPointer, permission: AppendPermission = .client
    ) {
        self.header = header
        self.bytes = bytes
        self.permission = permission
        outcome = .pending
    }
}

/// Whose batch it is, and so which rules of producers and transactions hold for it.
package enum AppendPermission: Sendable, Equatable {
    /// A client's batch. If it is transactional, its transaction must be open in this log.
    case client
    /// A client's batch that may open its transaction in this log: the log ended at this offset, or further, when the
    /// transaction's coordinator was asked. If a transaction of the same producer has ended here since, it may not.
    case verified(at: Int64)
    /// A coordinator's own batch, which has no sequence number.
    case coordinator
    /// A transaction's end. From version 2 on it carries an epoch that none of its transaction's batches had (KIP-890).
    case marker(transactionVersion: Int16)
}

/// What became of a batch. `logAppendTime` is -1 unless the topic's timestamps are the broker's.
package enum AppendOutcome: Equatable, Sendable {
    case pending
    case appended(baseOffset: Int64, logAppendTime: Int64)
    /// The log has this batch already, at this offset.
    case duplicate(baseOffset: Int64, logAppendTime: Int64)
    case refused(AppendRefusal)
}

/// Why a batch is not in the log.
package enum AppendRefusal: Error, Equatable, Sendable {
    case outOfOrderSequenceNumber
    case invalidProducerEpoch
    /// A marker of a coordinator that has been replaced.
    case transactionCoordinatorFenced
    /// A batch outside a transaction while its producer has one open.
    case invalidTransactionState
    /// The coordinator was asked before a transaction of the producer ended here, perhaps by a marker that came twice: it
    /// must be asked again.
    case outdatedVerification
    /// A control batch without a sound control record.
    case corruptMessage
    case messageTooLarge
    /// The batch is larger than a segment.
    case recordListTooLarge
    /// There was no room; nothing was changed, and later appends may succeed.
    case diskFull
    /// The directory is offline.
    case storageFailure
    case closed
    /// This node has another role now: somebody else leads the partition, or it leads it in a later epoch.
    case notInThisRole
}
