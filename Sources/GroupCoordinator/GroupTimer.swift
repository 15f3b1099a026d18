/// What may happen to a group when nobody says anything.
enum GroupTimer: Hashable, Sendable {
    /// A classic member, or a member id that was handed out and not used, was silent for its session timeout.
    case classicSession(groupId: String, memberId: String)
    /// A classic group has waited long enough for members to rejoin.
    case classicJoin(groupId: String)
    /// A classic group has waited long enough for members to ask for their assignment.
    case classicSync(groupId: String)
    /// A consumer group member was silent for the session timeout.
    case consumerSession(groupId: String, memberId: String)
    /// A consumer group member did not give up partitions within its rebalance timeout.
    case consumerRebalance(groupId: String, memberId: String)
    case offsetExpiration
}
