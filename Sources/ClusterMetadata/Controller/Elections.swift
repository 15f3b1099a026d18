import Configuration

/// How partitions must change because of brokers that went, came or are about to stop.
package struct ElectionPlan: Sendable, Equatable {
    /// The topics in their new form.
    package var topics: [TopicMetadata] = []
    /// Partitions whose new leader may lack acknowledged records; the operator allowed it and is to be told.
    package var uncleanElections: [PartitionReference] = []
    /// Partitions whose last in-sync replica came back without all that it had: acknowledged records may be gone, and
    /// the operator is to be told loudly.
    package var lost: [PartitionReference] = []
    /// Partitions with another leader than before.
    package var newLeaders = 0
    /// Partitions that were left without a leader.
    package var leaderless = 0
    /// Partitions that lost in-sync replicas.
    package var shrunk = 0

    package init() {}

    package var isEmpty: Bool { topics.isEmpty }

    mutating func count(_ before: PartitionMetadata, _ after: PartitionMetadata) {
        if after.leader != before.leader {
            if after.leader == -1 { leaderless += 1 } else { newLeaders += 1 }
        }
        if !before.inSyncReplicas.allSatisfy(after.inSyncReplicas.contains) { shrunk += 1 }
    }
}

extension MetadataImage {
    /// What must change so that each partition has a leader who can lead it, as far as there is one, and none in sync
    /// who is away. Applied and asked again it says nothing. `defaults` are the brokers' defaults of topics'
    /// configurations.
    package func electionChanges(defaults: BrokerConfiguration) -> ElectionPlan {
        let eligibility = BrokerEligibility(brokers)
        var plan = ElectionPlan()
        for topic in topics.values {
            guard let changed = elections(in: topic, eligibility, defaults, &plan) else { continue }
            plan.topics.append(changed)
        }
        // In an order that does not depend on the dictionary's.
        plan.topics.sort { $0.name < $1.name }
        plan.uncleanElections.sort()
        return plan
    }

    private func elections(
        in topic: TopicMetadata, _ eligibility: BrokerEligibility, _ defaults: BrokerConfiguration,
        _ plan: inout ElectionPlan
    ) -> TopicMetadata? {
        var changed: TopicMetadata?
        // Asked for only where it matters, which is seldom.
        var isUncleanAllowed: Bool?
        for index in topic.partitions.indices where !PartitionChange.isSettled(topic.partitions[index], eligibility) {
            var change = PartitionChange(topic.partitions[index], eligibility)
            change.settle {
                if let isUncleanAllowed { return isUncleanAllowed }
                let allowed = topic.allowsUncleanElections(defaults)
                isUncleanAllowed = allowed
                return allowed
            }
            guard let partition = change.result else { continue }
            plan.count(topic.partitions[index], partition)
            if change.isUnclean {
                plan.uncleanElections.append(PartitionReference(topic: topic.name, partition: Int32(index)))
            }
            if changed == nil { changed = topic }
            changed?.partitions[index] = partition
        }
        return changed
    }
}

extension TopicMetadata {
    func allowsUncleanElections(_ defaults: BrokerConfiguration) -> Bool {
        TopicConfiguration(configuration, broker: defaults).bool("unclean.leader.election.enable")
    }
}
