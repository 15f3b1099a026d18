import KafkaProtocol

/// Where a member is on its way to its target assignment. The numbers are those of the log's records.
enum ConsumerMemberState: Int8, Sendable {
    /// It has what it was told; if its epoch is the target's, that is its whole target.
    case stable = 0
    /// It must give up partitions first.
    case unrevokedPartitions = 1
    /// It has reached the target's epoch, but others still hold some of its partitions.
    case unreleasedPartitions = 2
    /// A state of a later version.
    case unknown = 127

    init(stored: Int8) {
        self = ConsumerMemberState(rawValue: stored) ?? .unknown
    }
}

/// Epochs with a meaning of their own in a heartbeat.
enum MemberEpoch {
    static let join: Int32 = 0
    static let leave: Int32 = -1
    /// A static member leaves for a while; its partitions stay its own until its session ends.
    static let leaveStatic: Int32 = -2
}

/// A member of a consumer group (KIP-848).
struct ConsumerGroupMember: Sendable, Equatable {
    var memberId: String
    var memberEpoch: Int32 = 0
    var previousMemberEpoch: Int32 = 0
    var state: ConsumerMemberState = .stable
    var instanceId: String?
    var rackId: String?
    var clientId = ""
    var clientHost = ""
    /// Sorted, without duplicates.
    var subscribedTopicNames: [String] = []
    var subscribedTopicRegex: String?
    var rebalanceTimeoutMs: Int32 = -1
    var serverAssignor: String?
    /// What the member was told to have.
    var assignedPartitions: TopicPartitionSet = .empty
    /// What the member was told to give up and has not confirmed; nobody else may have it yet.
    var partitionsPendingRevocation: TopicPartitionSet = .empty

    init(memberId: String) {
        self.memberId = memberId
    }

    func isReconciled(to targetEpoch: Int32) -> Bool { state == .stable && memberEpoch == targetEpoch }

    mutating func advance(to epoch: Int32) {
        previousMemberEpoch = memberEpoch
        memberEpoch = epoch
    }
}
