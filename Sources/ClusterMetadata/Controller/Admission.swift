import Configuration

/// A node's new life, taken note of.
package struct Admission: Sendable, Equatable {
    /// The node's record, admitted.
    package var record: NodeRecord
    /// What changes with it; `lost` names the partitions whose last in-sync replica it is although it lost data.
    package var plan: ElectionPlan
}

extension MetadataImage {
    /// Takes note of the life that a node began and of what it may have lost before; nil when there is none that waits.
    ///
    /// A replica that may lack acknowledged records leaves the in-sync sets in which another one, there or away, lacks
    /// less. The last one stays, since nobody is known to have more. It does not matter whether `electionChanges` was
    /// carried out between the end of the last life and this, nor in which order nodes are admitted.
    package func admission(of nodeId: Int32, defaults: BrokerConfiguration) -> Admission? {
        guard let record = waitingRecord(of: nodeId) else { return nil }
        var draft = MetadataDraft(self)
        var lost: [PartitionReference] = []
        let eligibility = BrokerEligibility(brokers)
        for topic in topics.values {
            let severity = LossSeverity(record.loss, topic, defaults)
            for (index, partition) in topic.partitions.enumerated() {
                let reference = PartitionReference(topic: topic.name, partition: Int32(index))
                var change = PartitionChange(partition, eligibility)
                // Even a complete log must not go on in the epoch of the last life: followers may have records of it
                // that were never on this node's disk.
                if partition.leader == nodeId { change.partition.leader = -1 }
                if severity > .nothing, partition.inSyncReplicas.contains(nodeId) {
                    if hasBetter(than: nodeId, severity, in: partition, topic, defaults) {
                        change.partition.inSyncReplicas.removeAll { $0 == nodeId }
                    } else {
                        lost.append(reference)
                    }
                }
                if let result = change.result { draft.set(result, of: reference) }
            }
        }
        var admitted = record
        admitted.isAdmitted = true
        draft.admit(nodeId, admitted)
        let elections = draft.image.electionChanges(defaults: defaults)
        draft.replace(elections.topics)
        var plan = ElectionPlan()
        plan.topics = draft.topics
        plan.uncleanElections = elections.uncleanElections
        for topic in plan.topics {
            for (before, after) in zip(topics[topic.name]?.partitions ?? [], topic.partitions) where before != after {
                plan.count(before, after)
            }
        }
        plan.lost = lost.filter { draft.image.partition($0)?.inSyncReplicas.contains(nodeId) == true }.sorted()
        return Admission(record: admitted, plan: plan)
    }

    /// The record of a life that is registered and not admitted.
    private func waitingRecord(of nodeId: Int32) -> NodeRecord? {
        guard let registration = brokers[nodeId], let record = nodes[nodeId],
            record.incarnation == registration.incarnation, !record.isAdmitted
        else { return nil }
        return record
    }

    /// Whether the in-sync set has one that lost less, or as little and comes first: of those that are equal one stays,
    /// the same whoever is admitted first.
    private func hasBetter(
        than nodeId: Int32, _ severity: LossSeverity, in partition: PartitionMetadata, _ topic: TopicMetadata,
        _ defaults: BrokerConfiguration
    ) -> Bool {
        let position = partition.replicas.firstIndex(of: nodeId) ?? partition.replicas.count
        return partition.inSyncReplicas.contains { other in
            guard other != nodeId else { return false }
            let otherSeverity =
                waitingRecord(of: other).map { LossSeverity($0.loss, topic, defaults) } ?? .nothing
            guard otherSeverity == severity else { return otherSeverity < severity }
            return (partition.replicas.firstIndex(of: other) ?? partition.replicas.count) < position
        }
    }
}

/// What a node's loss means for one topic.
private enum LossSeverity: Int, Comparable {
    case nothing
    /// What was acknowledged out of the page cache.
    case unsynced
    case everything

    init(_ loss: NodeRecord.Loss, _ topic: TopicMetadata, _ defaults: BrokerConfiguration) {
        switch loss {
        case .nothing: self = .nothing
        case .everything: self = .everything
        case .unsynced:
            let durability = TopicConfiguration(topic.configuration, broker: defaults).string("durability")
            self = durability == "fsync" ? .nothing : .unsynced
        }
    }

    static func < (left: LossSeverity, right: LossSeverity) -> Bool { left.rawValue < right.rawValue }
}
