import KafkaProtocol

/// An error of the Kafka protocol, as a broker answers with it.
public struct BrokerErrorCode: Hashable, Sendable, CustomStringConvertible {
    /// The number on the wire.
    public let rawValue: Int16

    /// Any error by its number, which should not be 0: that means none.
    public init(rawValue: Int16) {
        self.rawValue = rawValue
    }

    init(_ code: ErrorCode) {
        rawValue = code.rawValue
    }

    /// Kafka's name for it.
    public var description: String { ErrorCode(rawValue: rawValue).description }

    var code: ErrorCode { ErrorCode(rawValue: rawValue) }
}

/// Those that clients meet most.
extension BrokerErrorCode {
    /// UNKNOWN_SERVER_ERROR.
    public static let unknownServerError = BrokerErrorCode(.unknownServerError)
    /// OFFSET_OUT_OF_RANGE.
    public static let offsetOutOfRange = BrokerErrorCode(.offsetOutOfRange)
    /// CORRUPT_MESSAGE.
    public static let corruptMessage = BrokerErrorCode(.corruptMessage)
    /// UNKNOWN_TOPIC_OR_PARTITION.
    public static let unknownTopicOrPartition = BrokerErrorCode(.unknownTopicOrPartition)
    /// LEADER_NOT_AVAILABLE.
    public static let leaderNotAvailable = BrokerErrorCode(.leaderNotAvailable)
    /// NOT_LEADER_OR_FOLLOWER.
    public static let notLeaderOrFollower = BrokerErrorCode(.notLeaderOrFollower)
    /// REQUEST_TIMED_OUT.
    public static let requestTimedOut = BrokerErrorCode(.requestTimedOut)
    /// MESSAGE_TOO_LARGE.
    public static let messageTooLarge = BrokerErrorCode(.messageTooLarge)
    /// COORDINATOR_LOAD_IN_PROGRESS.
    public static let coordinatorLoadInProgress = BrokerErrorCode(.coordinatorLoadInProgress)
    /// COORDINATOR_NOT_AVAILABLE.
    public static let coordinatorNotAvailable = BrokerErrorCode(.coordinatorNotAvailable)
    /// NOT_COORDINATOR.
    public static let notCoordinator = BrokerErrorCode(.notCoordinator)
    /// NOT_ENOUGH_REPLICAS.
    public static let notEnoughReplicas = BrokerErrorCode(.notEnoughReplicas)
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    public static let notEnoughReplicasAfterAppend = BrokerErrorCode(.notEnoughReplicasAfterAppend)
    /// ILLEGAL_GENERATION.
    public static let illegalGeneration = BrokerErrorCode(.illegalGeneration)
    /// UNKNOWN_MEMBER_ID.
    public static let unknownMemberId = BrokerErrorCode(.unknownMemberId)
    /// REBALANCE_IN_PROGRESS.
    public static let rebalanceInProgress = BrokerErrorCode(.rebalanceInProgress)
    /// TOPIC_AUTHORIZATION_FAILED.
    public static let topicAuthorizationFailed = BrokerErrorCode(.topicAuthorizationFailed)
    /// GROUP_AUTHORIZATION_FAILED.
    public static let groupAuthorizationFailed = BrokerErrorCode(.groupAuthorizationFailed)
    /// TOPIC_ALREADY_EXISTS.
    public static let topicAlreadyExists = BrokerErrorCode(.topicAlreadyExists)
    /// NOT_CONTROLLER.
    public static let notController = BrokerErrorCode(.notController)
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    public static let outOfOrderSequenceNumber = BrokerErrorCode(.outOfOrderSequenceNumber)
    /// INVALID_PRODUCER_EPOCH.
    public static let invalidProducerEpoch = BrokerErrorCode(.invalidProducerEpoch)
    /// CONCURRENT_TRANSACTIONS.
    public static let concurrentTransactions = BrokerErrorCode(.concurrentTransactions)
    /// KAFKA_STORAGE_ERROR.
    public static let kafkaStorageError = BrokerErrorCode(.kafkaStorageError)
    /// UNKNOWN_PRODUCER_ID.
    public static let unknownProducerId = BrokerErrorCode(.unknownProducerId)
    /// FENCED_LEADER_EPOCH.
    public static let fencedLeaderEpoch = BrokerErrorCode(.fencedLeaderEpoch)
    /// FENCED_INSTANCE_ID.
    public static let fencedInstanceId = BrokerErrorCode(.fencedInstanceId)
    /// PRODUCER_FENCED.
    public static let producerFenced = BrokerErrorCode(.producerFenced)
    /// UNKNOWN_TOPIC_ID.
    public static let unknownTopicId = BrokerErrorCode(.unknownTopicId)
    /// FENCED_MEMBER_EPOCH.
    public static let fencedMemberEpoch = BrokerErrorCode(.fencedMemberEpoch)
    /// TRANSACTION_ABORTABLE.
    public static let transactionAbortable = BrokerErrorCode(.transactionAbortable)
}
