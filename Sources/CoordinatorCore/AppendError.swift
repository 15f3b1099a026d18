import KafkaProtocol

/// The error that clients see when records could not be written: which of them make a client look for the coordinator
/// again is part of the protocol.
package enum AppendError {
    package static func responseCode(for error: ErrorCode) -> ErrorCode {
        switch error {
        case .unknownTopicOrPartition, .notEnoughReplicas, .notEnoughReplicasAfterAppend, .requestTimedOut:
            return .coordinatorNotAvailable
        case .notLeaderOrFollower, .kafkaStorageError:
            return .notCoordinator
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize:
            return .unknownServerError
        default:
            return error
        }
    }

    package static func commitResponseCode(for error: ErrorCode) -> ErrorCode {
        switch error {
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize: return .invalidCommitOffsetSize
        default: return responseCode(for: error)
        }
    }

    /// For requests that had no part in the failed append: always one that makes a client try again.
    package static func bystanderCode(for error: ErrorCode) -> ErrorCode {
        responseCode(for: error) == .notCoordinator ? .notCoordinator : .coordinatorNotAvailable
    }
}
