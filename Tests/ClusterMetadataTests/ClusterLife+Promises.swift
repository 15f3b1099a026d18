import TestSupport

@testable import ClusterMetadata

/// What is promised, whatever happened.
extension ClusterLife {
    var partitions: [(PartitionReference, PartitionMetadata)] {
        references.compactMap { reference in image.partition(reference).map { (reference, $0) } }
    }

    func isEligible(_ broker: Int32) -> Bool { image.brokers[broker]?.isEligible == true }

    func records(_ broker: Int32, _ reference: PartitionReference) -> [Int] {
        logs[reference]?.replicas[broker] ?? []
    }

    mutating func change(_ event: String, _ body: (MetadataImage) -> [TopicMetadata]?) {
        guard let topics = body(image) else { return }
        events.append(event)
        apply(topics, unclean: [])
    }

    mutating func apply(_ topics: [TopicMetadata], unclean: [PartitionReference]) {
        let before = image
        image.apply(topics)
        var plan = ElectionPlan()
        plan.uncleanElections = unclean
        note(plan, since: before)
        check()
    }

    mutating func note(
        _ plan: ElectionPlan, leadershipMayBeginAnew: Int32? = nil, since before: MetadataImage
    ) {
        for reference in plan.uncleanElections {
            guard let partition = image.partition(reference) else { continue }
            for member in partition.inSyncReplicas { logs[reference]?.forget(whatLacks: member) }
        }
        compare(before, growing: plan.uncleanElections, leadershipMayBeginAnew)
    }

    /// Epochs, and in-sync sets that grow only where they may.
    mutating func compare(
        _ before: MetadataImage, growing: [PartitionReference], _ beginsAnew: Int32? = nil
    ) {
        for (reference, after) in partitions {
            guard let before = before.partition(reference), before != after else { continue }
            var states: String { "\(reference): \(before.state) -> \(after.state)" }
            if after.partitionEpoch <= before.partitionEpoch { violations.append("partition epoch, \(states)") }
            let leaderEpochs = after.leaderEpoch - before.leaderEpoch
            let isAnew = beginsAnew != nil && before.leader == beginsAnew
            if isAnew ? leaderEpochs < 1 || leaderEpochs > 2 : leaderEpochs != (after.leader == before.leader ? 0 : 1) {
                violations.append("leader epoch, \(states)")
            }
            let joined = after.inSyncReplicas.filter { !before.inSyncReplicas.contains($0) }
            if !joined.isEmpty, !growing.contains(reference) { violations.append("in-sync set grew, \(states)") }
        }
    }

    mutating func check() {
        for (reference, partition) in partitions {
            var state: String { "\(reference): \(partition.state)" }
            let members = Set(partition.inSyncReplicas)
            if members.isEmpty || members.count != partition.inSyncReplicas.count
                || !members.isSubset(of: partition.replicas)
            {
                violations.append("in-sync set, \(state)")
            }
            if Set(partition.replicas).count != partition.replicas.count { violations.append("replicas, \(state)") }
            if partition.leader != -1, !members.contains(partition.leader) { violations.append("leader, \(state)") }
            if !Set(partition.addingReplicas + partition.removingReplicas).isSubset(of: partition.replicas) {
                violations.append("reassignment, \(state)")
            }
            // A life that was not admitted leads nothing, whatever the image says of the last one.
            let acknowledged = logs[reference]?.acknowledged ?? []
            if image.brokers[partition.leader]?.isAdmitted == true,
                !records(partition.leader, reference).starts(with: acknowledged)
            {
                violations.append("lost: \(acknowledged) at \(records(partition.leader, reference)), \(state)")
            }
        }
    }
}
