import KafkaProtocol

/// A deleted group has no state: the shard forgets it. `Dead` is what the protocol calls a group that is not there.
enum ClassicGroupState: String, Sendable {
    /// No members; offsets may remain.
    case empty = "Empty"
    /// Members are asked to join again.
    case preparingRebalance = "PreparingRebalance"
    /// All have joined; the leader computes the assignment.
    case completingRebalance = "CompletingRebalance"
    /// All members have, or can ask for, their assignment.
    case stable = "Stable"
}

/// A group of the classic protocol: the coordinator collects the members of a generation, one of them, the leader,
/// assigns, and the coordinator hands the assignments out without looking into them.
///
/// Invariants: `leaderId` names a member if there is any; `staticMembers` maps exactly the members' instance ids;
/// `pendingJoinMembers` and `members` are disjoint; `generationId` only grows; parked joins exist only in
/// `preparingRebalance`, parked syncs only in `completingRebalance`.
struct ClassicGroup: Sendable, Equatable {
    static let consumerProtocolType = "consumer"

    let groupId: String
    private(set) var state: ClassicGroupState = .empty
    private(set) var previousState: ClassicGroupState = .empty
    var currentStateTimestamp: Int64?
    var protocolType: String?
    var protocolName: String?
    var generationId: Int32 = 0
    var leaderId: String?
    var members: [String: ClassicGroupMember] = [:]
    var staticMembers: [String: String] = [:]
    /// Ids that were handed out with MEMBER_ID_REQUIRED and not used yet (KIP-394).
    var pendingJoinMembers: Set<String> = []
    /// Members of this generation that have not asked for their assignment.
    var pendingSyncMembers: Set<String> = []
    /// The first rebalance of an empty group: how long this wait is, and how much may follow if others arrive.
    var initialDelayMs: Int64 = 0
    var initialRemainingMs: Int64 = 0
    var newMemberAdded = false
    /// How many members have a parked join; counted, because each join asks.
    var awaitingJoinCount = 0

    init(groupId: String) {
        self.groupId = groupId
    }

    /// A group that exists only because somebody committed offsets under its name.
    var isSimple: Bool { state == .empty && protocolType == nil && pendingJoinMembers.isEmpty }

    var usesConsumerProtocol: Bool { protocolType == Self.consumerProtocolType }

    var sortedMemberIds: [String] { members.keys.sorted() }

    /// A rebalance takes as long as its slowest member may.
    var rebalanceTimeoutMs: Int64 { Int64(members.values.map(\.rebalanceTimeoutMs).max() ?? 0) }

    var hasAllMembersJoined: Bool { awaitingJoinCount == members.count && pendingJoinMembers.isEmpty }

    func isLeader(_ memberId: String) -> Bool { leaderId == memberId }

    mutating func transition(to newState: ClassicGroupState, now: Int64) {
        previousState = state
        state = newState
        currentStateTimestamp = now
    }

    /// Takes the state that a record of the log describes.
    mutating func restore(state: ClassicGroupState, timestamp: Int64?) {
        self.state = state
        previousState = state
        currentStateTimestamp = timestamp
    }

    mutating func remove(_ memberId: String) {
        if let member = members.removeValue(forKey: memberId) {
            precondition(member.awaitingJoin == nil && member.awaitingSync == nil, "a request would never be answered")
            if let instanceId = member.groupInstanceId, staticMembers[instanceId] == memberId {
                staticMembers[instanceId] = nil
            }
            if leaderId == memberId { leaderId = members.keys.min() }
        }
        pendingJoinMembers.remove(memberId)
        pendingSyncMembers.remove(memberId)
    }

    /// Why a request of this member is not accepted, or nil. An instance id belongs to the last member that joined with
    /// it; an older one is fenced (KIP-345).
    func validate(memberId: String, instanceId: String?) -> ErrorCode? {
        if let instanceId {
            guard let owner = staticMembers[instanceId] else { return .unknownMemberId }
            if owner != memberId { return .fencedInstanceId }
        }
        return members[memberId] == nil ? .unknownMemberId : nil
    }
}
