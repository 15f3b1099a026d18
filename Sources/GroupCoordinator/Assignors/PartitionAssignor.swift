import KafkaProtocol

/// What an assignor knows of a member.
struct AssignmentMember: Sendable, Equatable {
    var memberId: String
    var instanceId: String?
    var subscribedTopicIds: Set<Uuid>
    /// What the member was last meant to have; an assignor may use it to move little.
    var currentTarget: TopicPartitionSet

    /// The member's place among the others: a static member keeps it when it comes back under another id.
    var sortKey: String { instanceId ?? memberId }
}

struct AssignmentTopic: Sendable, Equatable {
    var id: Uuid
    var name: String
    var partitionCount: Int32
}

struct AssignmentInput: Sendable, Equatable {
    var members: [AssignmentMember]
    /// All topics that any member is subscribed to, and that exist.
    var topics: [AssignmentTopic]
}

/// Divides the partitions of a consumer group among its members.
///
/// Every partition of a topic that somebody reads goes to exactly one of the topic's readers. The result depends on the
/// input only.
package enum ServerAssignor: String, Sendable, CaseIterable {
    /// As even as possible over all topics, moving as little as possible.
    case uniform
    /// For each topic a contiguous range of partitions to each reader, in the same order of readers for all topics, so
    /// that topics with equal partition counts are divided alike and can be joined.
    case range

    func assign(_ input: AssignmentInput) -> [String: TopicPartitionSet] {
        switch self {
        case .uniform: return UniformAssignor.assign(input)
        case .range: return RangeAssignor.assign(input)
        }
    }
}
