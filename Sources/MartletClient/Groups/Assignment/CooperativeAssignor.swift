/// The sticky division in two steps (KIP-429): a partition that another member may still be consuming is only taken away
/// now. Whoever lost it joins again, and it is given in the rebalance that follows.
enum CooperativeAssignor {
    /// Topics without an entry in `partitionCounts` do not exist and are left out.
    static func assign(
        _ members: [AssignableMember], partitionCounts: [String: Int]
    ) -> [String: [TopicPartition]] {
        // Claims of every generation count: who missed a rebalance does not know yet that it lost a partition.
        var claimants: [TopicPartition: Set<String>] = [:]
        for member in members {
            for partition in member.owned { claimants[partition, default: []].insert(member.id) }
        }
        var result = StickyAssignor.assign(members, partitionCounts: partitionCounts)
        for (id, partitions) in result {
            result[id] = partitions.filter { partition in
                guard let claimants = claimants[partition] else { return true }
                return claimants.contains(id)
            }
        }
        return result
    }
}
