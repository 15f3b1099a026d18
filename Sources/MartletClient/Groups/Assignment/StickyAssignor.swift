/// Divides all partitions as evenly as the subscriptions allow, and moves no more of them than that takes (KIP-54).
///
/// First everybody keeps what is theirs; then what nobody has goes to the member with the least; then partitions move from
/// members with more to members with less, over others if need be. When no such way is left between two members whose
/// numbers differ by two or more, the sum of the squares of the members' numbers is the least there can be.
enum StickyAssignor {
    /// Topics without an entry in `partitionCounts` do not exist and are left out.
    static func assign(
        _ members: [AssignableMember], partitionCounts: [String: Int]
    ) -> [String: [TopicPartition]] {
        var division = StickyDivision(members.sorted { $0.precedes($1) }, partitionCounts: partitionCounts)
        division.dealUnowned()
        division.level()
        return division.assignment
    }
}
