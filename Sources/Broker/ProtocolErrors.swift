import ClusterMetadata
import CommitLog
import KafkaProtocol
import RecordFormat
import Replication

/// The one place where inner errors become the protocol's.
extension ErrorCode {
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
        // As for what a coordinator says that passes: the client sends it again, and its coordinator is asked again.
        case .outdatedVerification: self = .notEnoughReplicas
        case .corruptMessage: self = .corruptMessage
        case .messageTooLarge: self = .messageTooLarge
        case .recordListTooLarge: self = .recordListTooLarge
        case .diskFull, .storageFailure: self = .kafkaStorageError
        case .closed, .notInThisRole: self = .notLeaderOrFollower
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
        case .closed, .notInThisRole: self = .notLeaderOrFollower
        }
    }

    /// nil for what was reached.
    init?(_ result: WaitResult) {
        switch result {
        case .reached: return nil
        case .reachedWithTooFewReplicas: self = .notEnoughReplicasAfterAppend
        case .notLeader: self = .notLeaderOrFollower
        case .failed: self = .kafkaStorageError
        }
    }

    /// Errors that clients try again with the controller that there is by then.
    init(_ error: MetadataStoreError) {
        switch error {
        case .conflict: self = .notController
        case .unavailable, .unknownOutcome, .noSession: self = .requestTimedOut
        case .corrupt: self = .kafkaStorageError
        }
    }
}
