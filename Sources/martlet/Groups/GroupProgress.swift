import MartletClient

/// How far a group has read in a partition.
struct GroupProgress: Equatable {
    let partition: TopicPartition
    /// nil when the group has committed nothing there.
    let committed: Int64?
    /// nil when the topic does not exist any more.
    let end: Int64?
    let memberId: String?

    /// Never below zero: a commit may lie beyond an end that was read a moment before.
    var lag: Int64? {
        guard let committed, let end else { return nil }
        return max(0, end - committed)
    }

    /// All partitions that the group has committed in or that a member has.
    static func read(_ group: DescribedGroup, _ administrator: Admin) async throws -> [GroupProgress] {
        let committed = try await administrator.committedOffsets(of: group.id)
        var members: [TopicPartition: String] = [:]
        for member in group.members {
            for partition in member.partitions { members[partition] = member.instanceId ?? member.id }
        }
        let partitions = Set(committed.keys).union(members.keys).sorted()
        try await administrator.cluster.refreshMetadata(of: Array(Set(partitions.map(\.topic))))
        let view = await administrator.cluster.view
        let existing = partitions.filter { view.partition($0) != nil }
        let ends = try await administrator.offsets(of: existing, at: .latest)
        return partitions.map { partition in
            GroupProgress(
                partition: partition, committed: committed[partition]?.offset, end: ends[partition]?.offset,
                memberId: members[partition])
        }
    }
}
