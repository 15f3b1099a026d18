import KafkaProtocol

/// What an operator asks for with ElectLeaders (KIP-460).
package enum LeaderElectionKind: Int8, Sendable {
    /// The first replica leads, if it is in sync.
    case preferred = 0
    /// Anybody leads where nobody does, at the price of what it lacks.
    case unclean = 1
}

package struct LeaderElectionOutcome: Sendable {
    package struct Result: Sendable {
        package var reference: PartitionReference
        /// Why nobody was elected, or nil.
        package var refusal: MetadataRefusal?
    }

    package var results: [Result] = []
    /// The topics in their new form.
    package var topics: [TopicMetadata] = []
    /// Partitions whose new leader may lack acknowledged records.
    package var uncleanElections: [PartitionReference] = []
}

extension MetadataImage {
    /// Elects leaders of the partitions; of all when nil, and then those that need none are not among the results.
    package func electLeaders(
        _ kind: LeaderElectionKind, of references: [PartitionReference]?
    ) -> LeaderElectionOutcome {
        let eligibility = BrokerEligibility(brokers)
        var outcome = LeaderElectionOutcome()
        var draft = MetadataDraft(self)
        for reference in references ?? allPartitions {
            do throws(MetadataRefusal) {
                let change = try draft.image.election(kind, of: reference, eligibility)
                if let partition = change.result { draft.set(partition, of: reference) }
                if change.isUnclean { outcome.uncleanElections.append(reference) }
                outcome.results.append(LeaderElectionOutcome.Result(reference: reference, refusal: nil))
            } catch {
                if references == nil, error.code == .electionNotNeeded { continue }
                outcome.results.append(LeaderElectionOutcome.Result(reference: reference, refusal: error))
            }
        }
        outcome.topics = draft.topics
        return outcome
    }

    private var allPartitions: [PartitionReference] {
        topics.keys.sorted().flatMap { name in
            (0..<(topics[name]?.partitions.count ?? 0)).map {
                PartitionReference(topic: name, partition: Int32($0))
            }
        }
    }

    private func election(
        _ kind: LeaderElectionKind, of reference: PartitionReference, _ eligibility: BrokerEligibility
    ) throws(MetadataRefusal) -> PartitionChange {
        guard topics[reference.topic] != nil else {
            throw MetadataRefusal(.unknownTopicOrPartition, "No such topic as \(reference.topic).")
        }
        guard let partition = partition(reference) else {
            throw MetadataRefusal(.unknownTopicOrPartition, "No such partition as \(reference).")
        }
        var change = PartitionChange(partition, eligibility)
        switch kind {
        case .preferred:
            guard partition.leader != partition.replicas.first else {
                throw MetadataRefusal(.electionNotNeeded, "The preferred replica of \(reference) leads already.")
            }
            change.settle(.preferred)
            // Where nobody led, any leader that could be found is an election, as in Kafka.
            guard change.partition.leader != partition.leader, change.partition.leader != -1 else {
                throw MetadataRefusal(
                    .preferredLeaderNotAvailable, "The preferred replica of \(reference) is not in sync.")
            }
        case .unclean:
            guard partition.leader == -1 else {
                throw MetadataRefusal(.electionNotNeeded, "\(reference) has a leader.")
            }
            change.settle { true }
            guard change.partition.leader != -1 else {
                throw MetadataRefusal(
                    .eligibleLeadersNotAvailable, "None of the replicas of \(reference) is there to lead.")
            }
        }
        return change
    }
}
