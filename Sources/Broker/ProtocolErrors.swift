import ClusterMetadata
import CommitLog
import KafkaProtocol
import RecordFormat
import Replication

/// The one place where inner errors become the protocol's.
extension ErrorCode {
    /// What is wrong with the leader epoch that a client believes in (KIP-320): NONE when it is the leader's, or -1 for
    /// a client that does not say.
    init(leaderEpoch: Int32, of leader: PartitionLeader) {
        if leaderEpoch < 0 || leaderEpoch == leader.leaderEpoch {
            self = .none
        } else {
            self = leaderEpoch < leader.leaderEpoch ? .fencedLeaderEpoch : .unknownLeaderEpoch
        }
    }

    /// Of a topic that is not there.
    init(missingTopic name: String) {
        self = TopicName.objection(to: name) == nil ? .unknownTopicOrPartition : .invalidTopicException
    }

    init(_ refusal: AppendRefusal) {
        switch refusal {
        case .outOfOrderSequenceNumber: self = .outOfOrderSequenceNumber
        case .invalidProducerEpoch: self = .invalidProducerEpoch
        case .transactionCoordinatorFenced: self = .transactionCoordinatorFenced
        case .invalidTransactionState: self = .invalidTxnState
        case .corruptMessage: self = .corruptMessage
        case .messageTooLarge: self = .messageTooLarge
        case .recordListTooLarge: self = .recordListTooLarge
        case .diskFull, .storageFailure: self = .kafkaStorageError
        case .closed: self = .notLeaderOrFollower
        }
    }

    init(_ reason: RecordBatchRejection.Reason) {
        switch reason {
        case .corruptMessage: self = .corruptMessage
        case .invalidRecord: self = .invalidRecord
        case .invalidTimestamp: self = .invalidTimestamp
        case .unsupportedForMessageFormat: self = .unsupportedForMessageFormat
        case .unsupportedCompressionType: self = .unsupportedCompressionType
        }
    }

    init(_ error: LogReadError) {
        switch error {
        case .offsetOutOfRange: self = .offsetOutOfRange
        case .storageFailure, .offline: self = .kafkaStorageError
        case .closed: self = .notLeaderOrFollower
        }
    }

    init(_ error: LogError) {
        switch error {
        case .offsetOutOfRange: self = .offsetOutOfRange
        case .storageFailure, .offline: self = .kafkaStorageError
        case .closed: self = .notLeaderOrFollower
        }
    }

    init(_ error: MetadataStoreError) {
        switch error {
        case .conflict: self = .concurrentTransactions
        case .unavailable, .corrupt: self = .kafkaStorageError
        }
    }
}
