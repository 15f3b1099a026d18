import KafkaProtocol

extension MetadataImage {
    /// Forgets a node that is gone for good: it leaves the in-sync sets that it waits in, if another one stays. The
    /// caller deletes its record. Unknown ones are refused with BROKER_ID_NOT_REGISTERED as in Kafka; here also one
    /// that is still there, since it would only register again.
    package func unregistration(of nodeId: Int32) throws(MetadataRefusal) -> [TopicMetadata] {
        guard isKnown(nodeId) else {
            throw MetadataRefusal(.brokerIdNotRegistered, "Broker ID \(nodeId) is not currently registered.")
        }
        guard brokers[nodeId] == nil else {
            throw MetadataRefusal(.invalidRequest, "Broker \(nodeId) is running: stop it before it is unregistered.")
        }
        let eligibility = BrokerEligibility(brokers)
        var draft = MetadataDraft(self)
        for topic in topics.values {
            for (index, partition) in topic.partitions.enumerated()
            where partition.inSyncReplicas.contains(nodeId) && partition.inSyncReplicas.count > 1 {
                var change = PartitionChange(partition, eligibility)
                change.partition.inSyncReplicas.removeAll { $0 == nodeId }
                change.settle()
                guard let result = change.result else { continue }
                draft.set(result, of: PartitionReference(topic: topic.name, partition: Int32(index)))
            }
        }
        return draft.topics
    }
}
