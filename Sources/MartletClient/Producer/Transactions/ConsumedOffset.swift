/// How far a group has consumed a partition.
public struct ConsumedOffset: Sendable, Hashable {
    /// The next record to consume: one more than the last one that was.
    public var offset: Int64
    /// The leader's epoch of the last consumed record, when it is known; the broker then recognizes a truncated log.
    public var leaderEpoch: Int32?
    /// Kept with the offset for whoever wants to read it.
    public var metadata: String?

    /// The next record to consume is `offset`.
    public init(_ offset: Int64, leaderEpoch: Int32? = nil, metadata: String? = nil) {
        self.offset = offset
        self.leaderEpoch = leaderEpoch
        self.metadata = metadata
    }
}

/// Who consumes, so that the group's coordinator takes offsets only from a member that still is one (KIP-447).
public struct ConsumerGroupMetadata: Sendable, Hashable {
    /// `group.id`.
    public var groupId: String
    /// The generation, or the member's epoch with the new group protocol; -1 for a consumer that is no member.
    public var generation: Int32
    /// The member's id; empty for a consumer that is no member.
    public var memberId: String
    /// `group.instance.id` of a static member.
    public var groupInstanceId: String?

    /// A group without its member stands for a consumer that is assigned by hand.
    public init(groupId: String, generation: Int32 = -1, memberId: String = "", groupInstanceId: String? = nil) {
        self.groupId = groupId
        self.generation = generation
        self.memberId = memberId
        self.groupInstanceId = groupInstanceId
    }
}
