import Configuration
import KafkaProtocol

/// A wish for other replicas of a partition (AlterPartitionReassignments; KIP-455, KIP-860).
package struct ReassignmentRequest: Sendable {
    package var reference: PartitionReference
    /// The replicas that it shall have, in order of preference; nil goes back to those before the reassignment.
    package var replicas: [Int32]?

    package init(_ reference: PartitionReference, to replicas: [Int32]?) {
        self.reference = reference
        self.replicas = replicas
    }
}

package struct ReassignmentOutcome: Sendable {
    /// For each request in its order why it was refused, or nil.
    package var refusals: [MetadataRefusal?] = []
    /// The topics in their new form.
    package var topics: [TopicMetadata] = []
    /// Partitions whose new leader may lack acknowledged records, because a reassignment was taken back.
    package var uncleanElections: [PartitionReference] = []
}

/// A partition that is being reassigned.
package struct OngoingReassignment: Sendable, Equatable {
    package var reference: PartitionReference
    package var replicas: [Int32]
    package var adding: [Int32]
    package var removing: [Int32]
}

extension MetadataImage {
    /// Begins, replaces and takes back reassignments. A replica joins when its leader reports it in sync; when all
    /// have, those that are no longer wanted leave.
    package func alterReassignments(
        _ requests: [ReassignmentRequest], allowsOtherReplicationFactor: Bool, defaults: BrokerConfiguration
    ) -> ReassignmentOutcome {
        let eligibility = BrokerEligibility(brokers)
        var outcome = ReassignmentOutcome()
        var draft = MetadataDraft(self)
        for request in requests {
            do throws(MetadataRefusal) {
                let change = try draft.image.reassignment(
                    request, allowsOtherReplicationFactor: allowsOtherReplicationFactor, eligibility, defaults)
                if let partition = change.result {
                    draft.set(partition, of: request.reference)
                    if change.isUnclean { outcome.uncleanElections.append(request.reference) }
                }
                outcome.refusals.append(nil)
            } catch {
                outcome.refusals.append(error)
            }
        }
        outcome.topics = draft.topics
        return outcome
    }

    /// Those of the partitions that are being reassigned; of all when nil.
    package func reassignments(of references: [PartitionReference]? = nil) -> [OngoingReassignment] {
        if let references { return references.compactMap(reassignment(of:)) }
        return topics.keys.sorted().flatMap { name in
            (topics[name]?.partitions.indices).map(Array.init)?.compactMap { index in
                reassignment(of: PartitionReference(topic: name, partition: Int32(index)))
            } ?? []
        }
    }

    private func reassignment(of reference: PartitionReference) -> OngoingReassignment? {
        guard let partition = partition(reference), partition.isReassigned else { return nil }
        return OngoingReassignment(
            reference: reference, replicas: partition.replicas, adding: partition.addingReplicas,
            removing: partition.removingReplicas)
    }

    private func reassignment(
        _ request: ReassignmentRequest, allowsOtherReplicationFactor: Bool, _ eligibility: BrokerEligibility,
        _ defaults: BrokerConfiguration
    ) throws(MetadataRefusal) -> PartitionChange {
        guard let topic = topics[request.reference.topic] else {
            throw MetadataRefusal(
                .unknownTopicOrPartition, "Unable to find a topic named \(request.reference.topic).")
        }
        guard let partition = partition(request.reference) else {
            throw MetadataRefusal(.unknownTopicOrPartition, "Unable to find partition \(request.reference).")
        }
        var change = PartitionChange(partition, eligibility)
        if let target = request.replicas {
            try checkReplicas(target)
            let present = partition.targetReplicas.count
            guard allowsOtherReplicationFactor || target.count == present else {
                throw MetadataRefusal(
                    .invalidReplicationFactor,
                    "The replication factor is changed from \(present) to \(target.count).")
            }
            change.partition.reassign(to: target)
            change.settle()
            return change
        }
        guard partition.isReassigned else {
            throw MetadataRefusal(.noReassignmentInProgress, "No partition reassignment is in progress.")
        }
        let isUncleanAllowed = { topic.allowsUncleanElections(defaults) }
        guard change.revertReassignment(isUncleanAllowed: isUncleanAllowed) else {
            throw MetadataRefusal(
                .invalidReplicaAssignment,
                "Unable to revert the reassignment of \(request.reference): none of the replicas that it had before "
                    + "is in sync, so that it would require an unclean leader election.")
        }
        change.settle(isUncleanAllowed: isUncleanAllowed)
        return change
    }

    /// Refuses a manual assignment that is empty or names a broker twice or one that nobody knows. One that is away is
    /// none the worse for it, as in Kafka.
    func checkReplicas(_ replicas: [Int32]) throws(MetadataRefusal) {
        guard !replicas.isEmpty else {
            throw MetadataRefusal(
                .invalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
        }
        var seen: Set<Int32> = []
        for replica in replicas {
            guard isKnown(replica) else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment,
                    "The manual partition assignment includes broker \(replica), but no such broker is registered.")
            }
            guard seen.insert(replica).inserted else {
                throw MetadataRefusal(
                    .invalidReplicaAssignment,
                    "The manual partition assignment includes the broker \(replica) more than once.")
            }
        }
    }
}

extension PartitionMetadata {
    /// All that are wanted first, in their order; then those that leave. A replica that joined for a reassignment which
    /// this one replaces, and is not wanted any more, both joins and leaves: it stays until the end, since it may be
    /// the last in sync, and is gone when the reassignment is taken back.
    fileprivate mutating func reassign(to target: [Int32]) {
        let original = originalReplicas
        let leaving = replicas.filter { !target.contains($0) }
        addingReplicas = target.filter { !original.contains($0) } + leaving.filter { !original.contains($0) }
        removingReplicas = leaving
        replicas = target + leaving
    }
}
