/// How the leader of a classic group divides the partitions among the members, an entry of
/// `partition.assignment.strategy`. More may come, so this is no enumeration.
public struct PartitionAssignmentStrategy: Sendable, Hashable, CustomStringConvertible {
    /// The name by which the members of a group agree on it.
    public let name: String

    private init(name: String) {
        self.name = name
    }

    /// Each topic is cut into ranges, one for each member, so that partitions of the same number go to the same member in
    /// all topics with as many partitions. Kafka's `RangeAssignor`.
    public static let range = PartitionAssignmentStrategy(name: "range")
    /// All partitions are dealt to the members in turn. Kafka's `RoundRobinAssignor`.
    public static let roundRobin = PartitionAssignmentStrategy(name: "roundrobin")
    /// Balanced over all topics, and members keep what they can. Kafka's `StickyAssignor` (KIP-54).
    public static let sticky = PartitionAssignmentStrategy(name: "sticky")
    /// As `sticky`, and members go on consuming what they keep while the rest moves. Kafka's
    /// `CooperativeStickyAssignor` (KIP-429). It has this effect only when no other strategy is listed beside it.
    public static let cooperativeSticky = PartitionAssignmentStrategy(name: "cooperative-sticky")

    /// The strategy's name.
    public var description: String { name }

    static let all: [PartitionAssignmentStrategy] = [.range, .roundRobin, .sticky, .cooperativeSticky]

    /// Whether members may keep partitions while a group rebalances.
    var isCooperative: Bool { self == .cooperativeSticky }

    /// Who gets what. Topics without an entry in `partitionCounts` do not exist and are left out.
    func assign(_ members: [AssignableMember], partitionCounts: [String: Int]) -> [String: [TopicPartition]] {
        switch self {
        case .range: return RangeAssignor.assign(members, partitionCounts: partitionCounts)
        case .roundRobin: return RoundRobinAssignor.assign(members, partitionCounts: partitionCounts)
        case .sticky: return StickyAssignor.assign(members, partitionCounts: partitionCounts)
        case .cooperativeSticky: return CooperativeAssignor.assign(members, partitionCounts: partitionCounts)
        default: preconditionFailure("no assignor is called \(name)")
        }
    }
}
