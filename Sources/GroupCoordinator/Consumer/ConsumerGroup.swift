import KafkaProtocol

enum ConsumerGroupState: String, Sendable {
    case empty = "Empty"
    /// The group's epoch is ahead of its target assignment: the next heartbeat computes one.
    case assigning = "Assigning"
    /// Members are on their way to the target assignment.
    case reconciling = "Reconciling"
    case stable = "Stable"
}

/// A group of the consumer protocol (KIP-848): the coordinator assigns, and each member moves to its target with its
/// heartbeats.
///
/// Everything but `resolvedPatterns` and `checkedTopicsVersion` comes from records: a handler writes a record with
/// `write`, which applies it just as loading the log does, so that the log and the state cannot disagree.
///
/// Invariants: `holders` names for each partition the one member that has it or has to give it up; a member's epoch is
/// at most `assignmentEpoch`, which is at most `groupEpoch`.
struct ConsumerGroup: Sendable {
    struct TopicMetadata: Sendable, Equatable {
        var id: Uuid
        var partitionCount: Int32
    }

    let groupId: String
    var groupEpoch: Int32 = 0
    var assignmentEpoch: Int32 = 0
    private(set) var members: [String: ConsumerGroupMember] = [:]
    private(set) var staticMembers: [String: String] = [:]
    var targetAssignment: [String: TopicPartitionSet] = [:]
    /// The subscribed topics as they were when the group's epoch was last raised, by name.
    var subscriptionMetadata: [String: TopicMetadata] = [:]
    private var holders: [Uuid: [Int32: String]] = [:]

    /// The topics that each pattern of a member matches, as of `checkedTopicsVersion`.
    var resolvedPatterns: [String: Set<String>] = [:]
    /// The version of the topics that the subscriptions were compared with; 0 is before all.
    var checkedTopicsVersion: UInt64 = 0

    init(groupId: String) {
        self.groupId = groupId
    }

    var state: ConsumerGroupState {
        if members.isEmpty { return .empty }
        if groupEpoch > assignmentEpoch { return .assigning }
        return members.values.allSatisfy { $0.isReconciled(to: assignmentEpoch) } ? .stable : .reconciling
    }

    var sortedMemberIds: [String] { members.keys.sorted() }

    func staticMember(_ instanceId: String) -> ConsumerGroupMember? {
        staticMembers[instanceId].flatMap { members[$0] }
    }

    func isHeld(_ topicId: Uuid, _ partition: Int32) -> Bool { holders[topicId]?[partition] != nil }

    var topicsInUse: TopicsInUse {
        .some(members.values.reduce(into: []) { names, member in names.formUnion(topics(of: member)) })
    }

    /// The names that a member is subscribed to, whether they exist or not.
    func topics(of member: ConsumerGroupMember) -> Set<String> {
        var names = Set(member.subscribedTopicNames)
        if let pattern = member.subscribedTopicRegex, let matched = resolvedPatterns[pattern] {
            names.formUnion(matched)
        }
        return names
    }

    /// The assignor that most members ask for; without a wish, the first of the configuration. Ties go to the smaller
    /// name.
    func preferredAssignor(_ configuration: GroupConfiguration) -> ServerAssignor {
        var votes: [String: Int] = [:]
        for member in members.values {
            if let name = member.serverAssignor { votes[name, default: 0] += 1 }
        }
        let preferred = votes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
        return preferred.flatMap { ServerAssignor(rawValue: $0) } ?? configuration.groupConsumerAssignors.first
            ?? .uniform
    }

    // MARK: Changes that keep the indexes right

    mutating func set(_ member: ConsumerGroupMember) {
        if let old = members[member.memberId] { release(old) }
        members[member.memberId] = member
        if let instanceId = member.instanceId { staticMembers[instanceId] = member.memberId }
        for held in [member.assignedPartitions, member.partitionsPendingRevocation] {
            for (topicId, partitions) in held.partitionsByTopic {
                for partition in partitions { holders[topicId, default: [:]][partition] = member.memberId }
            }
        }
    }

    mutating func removeMember(_ memberId: String) {
        guard let old = members.removeValue(forKey: memberId) else { return }
        release(old)
    }

    private mutating func release(_ member: ConsumerGroupMember) {
        if let instanceId = member.instanceId, staticMembers[instanceId] == member.memberId {
            staticMembers[instanceId] = nil
        }
        for held in [member.assignedPartitions, member.partitionsPendingRevocation] {
            for (topicId, partitions) in held.partitionsByTopic {
                for partition in partitions where holders[topicId]?[partition] == member.memberId {
                    holders[topicId]![partition] = nil
                }
                if holders[topicId]?.isEmpty == true { holders[topicId] = nil }
            }
        }
    }
}
