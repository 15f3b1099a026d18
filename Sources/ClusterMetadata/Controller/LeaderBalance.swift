extension MetadataImage {
    /// Gives brokers back what they should lead, if more than the percentage of the partitions that prefer them are led
    /// by others (`leader.imbalance.per.broker.percentage`). Partitions that are being reassigned wait until they are
    /// done.
    package func leaderBalance(imbalancePercentage: Int) -> [TopicMetadata] {
        var preferring: [Int32: (all: Int, elsewhere: Int)] = [:]
        for topic in topics.values {
            for partition in topic.partitions {
                guard let preferred = partition.replicas.first else { continue }
                preferring[preferred, default: (0, 0)].all += 1
                if partition.leader != preferred { preferring[preferred, default: (0, 0)].elsewhere += 1 }
            }
        }
        let deprived = Set(
            preferring.filter { $0.value.elsewhere * 100 > imbalancePercentage * $0.value.all }.keys)
        guard !deprived.isEmpty else { return [] }

        let eligibility = BrokerEligibility(brokers)
        var draft = MetadataDraft(self)
        for topic in topics.values {
            for (index, partition) in topic.partitions.enumerated() {
                guard let preferred = partition.replicas.first, partition.leader != preferred,
                    deprived.contains(preferred), !partition.isReassigned
                else { continue }
                var change = PartitionChange(partition, eligibility)
                change.settle(.preferred)
                guard change.partition.leader == preferred, let result = change.result else { continue }
                draft.set(result, of: PartitionReference(topic: topic.name, partition: Int32(index)))
            }
        }
        return draft.topics
    }
}
