import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Logging

/// Takes over a data folder that Apache Kafka wrote: its topics become ours, with the ids that its folders carry. What
/// Kafka keeps elsewhere, the topics' configurations, must be set again.
enum LogAdoption {
    static func adopt(
        _ logs: LogDirectory, into cluster: ClusterState, nodeId: Int32, _ logger: Logger
    ) throws {
        // The logs know producers by their ids: one of them must not be given to somebody else, whose first batch could
        // then pass for a duplicate.
        let known = logs.allLogs.flatMap { $0.activeProducers() }.map(\.producerId).max()
        if let known { _ = try cluster.allocateProducerIds(from: known + 1) }
        let byTopic = Dictionary(grouping: logs.allLogs.map(\.name), by: \.topic)
        for (topic, names) in byTopic.sorted(by: { $0.key < $1.key }) {
            // Kafka's metadata log stands beside the topics and is none.
            guard TopicName.objection(to: topic) == nil, topic != "__cluster_metadata" else { continue }
            // A start that was interrupted got this far.
            guard cluster.image.topic(named: topic) == nil else { continue }
            let partitions = names.map(\.partition).sorted()
            guard partitions == Array(0..<Int32(partitions.count)) else {
                logger.warning(
                    "log.not-adopted",
                    metadata: ["topic": "\(topic)", "reason": "partitions are missing: \(partitions)"])
                continue
            }
            let id = try logs.topicId(of: names[0]).flatMap { Uuid($0) } ?? Uuid.random()
            var values = ConfigurationValues()
            if InternalTopic.names.contains(topic) {
                try values.set("cleanup.policy", to: "compact", in: TopicConfigurations.byName)
            }
            // A new leader begins a new epoch, above every one that the records carry.
            let metadata = partitions.map { partition in
                let log = logs.log(PartitionName(topic: topic, partition: partition))
                return PartitionMetadata(
                    leader: nodeId, leaderEpoch: (log?.latestEpoch ?? -1) + 1, replicas: [nodeId],
                    inSyncReplicas: [nodeId])
            }
            let adopted = TopicMetadata(name: topic, id: id, partitions: metadata, configuration: values)
            var transaction = MetadataTransaction()
            transaction.put(adopted, over: cluster.image)
            try cluster.commit(transaction)
            logger.notice("log.adopted", metadata: ["topic": "\(topic)", "partitions": "\(partitions.count)"])
        }
    }
}
