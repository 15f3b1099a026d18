import KafkaProtocol

/// What is known of the cluster: its brokers, and of topics that were asked for, who leads their partitions.
package struct ClusterView: Sendable, Equatable {
    package struct Partition: Sendable, Equatable {
        package var index: Int32
        /// nil when nobody leads it now.
        package var leader: Int32?
        package var leaderEpoch: Int32
        package var replicas: [Int32]
        package var inSyncReplicas: [Int32]
        package var offlineReplicas: [Int32]
    }

    package struct Topic: Sendable, Equatable {
        package var name: String
        package var id: Uuid
        package var isInternal: Bool
        /// By index, from 0.
        package var partitions: [Partition]
    }

    package private(set) var clusterId: String?
    package private(set) var controllerId: Int32?
    package private(set) var brokers: [Int32: BrokerAddress] = [:]
    package private(set) var topics: [String: Topic] = [:]

    package init() {}

    /// Takes a reply's brokers and topics over. Topics it does not speak of stay, unless it speaks of all; those it calls
    /// missing go.
    package mutating func merge(_ response: MetadataResponse, isWhole: Bool = false) {
        if isWhole { topics = [:] }
        clusterId = response.clusterId ?? clusterId
        controllerId = response.controllerId >= 0 ? response.controllerId : nil
        brokers = [:]
        for broker in response.brokers {
            brokers[broker.nodeId] = BrokerAddress(host: broker.host, port: Int(broker.port))
        }
        for topic in response.topics {
            guard let name = topic.name else { continue }
            guard topic.errorCode == 0 else {
                topics[name] = nil
                continue
            }
            topics[name] = Topic(
                name: name, id: topic.topicId, isInternal: topic.isInternal,
                partitions: topic.partitions.sorted { $0.partitionIndex < $1.partitionIndex }.map { partition in
                    Partition(
                        index: partition.partitionIndex, leader: partition.leaderId >= 0 ? partition.leaderId : nil,
                        leaderEpoch: partition.leaderEpoch, replicas: partition.replicaNodes,
                        inSyncReplicas: partition.isrNodes, offlineReplicas: partition.offlineReplicas)
                })
        }
    }

    package func partition(_ name: TopicPartition) -> Partition? {
        topics[name.topic]?.partitions.first { $0.index == name.partition }
    }

    package func leader(of partition: TopicPartition) -> Int32? {
        self.partition(partition)?.leader
    }
}
