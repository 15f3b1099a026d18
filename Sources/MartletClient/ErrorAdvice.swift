import KafkaProtocol

/// The protocol's errors in words, with what helps. Errors that are not here speak through their name.
enum ErrorAdvice {
    struct Advice: Sendable {
        let meaning: String
        let nextStep: String?
    }

    static func of(_ code: ErrorCode) -> Advice? { table[code] }

    private static let table: [ErrorCode: Advice] = [
        .unknownTopicOrPartition: Advice(
            meaning: "there is no such topic or partition", nextStep: "see what there is with 'martlet topics list'"),
        .unknownTopicId: Advice(
            meaning: "the topic was deleted meanwhile", nextStep: "see what there is with 'martlet topics list'"),
        .topicAlreadyExists: Advice(
            meaning: "the topic exists already", nextStep: "choose another name or add --if-not-exists"),
        .invalidTopicException: Advice(
            meaning: "not a valid topic name: letters, digits, '.', '_' and '-', 249 at most", nextStep: nil),
        .offsetOutOfRange: Advice(
            meaning: "the offset is outside of what the partition holds",
            nextStep: "start with --from-beginning or a later --offset"),
        .messageTooLarge: Advice(
            meaning: "larger than the topic takes", nextStep: "raise max.message.bytes of the topic"),
        .recordListTooLarge: Advice(
            meaning: "the batch is larger than a segment", nextStep: "raise segment.bytes of the topic"),
        .notEnoughReplicas: Advice(
            meaning: "fewer replicas are in sync than min.insync.replicas asks for",
            nextStep: "see which with 'martlet topics describe'"),
        .leaderNotAvailable: Advice(
            meaning: "the partition has no leader now", nextStep: "see 'martlet topics describe', then try again"),
        .notLeaderOrFollower: Advice(meaning: "the broker does not lead the partition", nextStep: "try again"),
        .coordinatorNotAvailable: Advice(meaning: "the group has no coordinator now", nextStep: "try again"),
        .coordinatorLoadInProgress: Advice(
            meaning: "the coordinator is still reading its groups", nextStep: "try again in a moment"),
        .groupIdNotFound: Advice(
            meaning: "there is no such group", nextStep: "see what there is with 'martlet groups list'"),
        .transactionalIdNotFound: Advice(
            meaning: "nobody has used this transactional id",
            nextStep: "see what there is with 'martlet transactions list'"),
        .nonEmptyGroup: Advice(meaning: "the group has members", nextStep: "stop its consumers first"),
        .unknownMemberId: Advice(
            meaning: "the group does not know this member, or it has members that own its offsets",
            nextStep: "stop the group's consumers, or start this one again"),
        .invalidPartitions: Advice(
            meaning: "not a valid number of partitions", nextStep: "a topic's partitions can only become more"),
        .invalidReplicationFactor: Advice(
            meaning: "not a valid replication factor", nextStep: "it can be as large as the number of brokers"),
        .invalidConfig: Advice(
            meaning: "not a valid configuration", nextStep: "see 'martlet server --help-configs'"),
        .unsupportedCompressionType: Advice(
            meaning: "the topic does not take this compression", nextStep: "choose another --compression"),
        .topicAuthorizationFailed: Advice(meaning: "not allowed for this topic", nextStep: nil),
        .groupAuthorizationFailed: Advice(meaning: "not allowed for this group", nextStep: nil),
        .clusterAuthorizationFailed: Advice(meaning: "not allowed in this cluster", nextStep: nil),
        .fencedInstanceId: Advice(
            meaning: "another member has taken over the same group.instance.id", nextStep: nil),
        .inconsistentGroupProtocol: Advice(
            meaning: "the group's other members assign partitions in another way",
            nextStep: "choose another --group, or stop the other members"),
        .kafkaStorageError: Advice(
            meaning: "the broker's disk has failed", nextStep: "see the broker's log"),
        .unsupportedVersion: Advice(meaning: "the broker does not support this", nextStep: nil),
        .invalidTimestamp: Advice(
            meaning: "the timestamp is further from the broker's clock than the topic allows",
            nextStep: "see message.timestamp.before.max.ms and message.timestamp.after.max.ms"),
        .policyViolation: Advice(meaning: "the cluster's policy forbids it", nextStep: nil),
        .requestTimedOut: Advice(meaning: "the broker could not do it in time", nextStep: "try again"),
    ]
}
