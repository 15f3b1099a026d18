import KafkaProtocol

/// Replicas that are on their way to other brokers.
public struct PartitionReassignment: Sendable, Hashable {
    /// All that have the partition now, old ones and new ones.
    public let replicas: [Int32]
    /// Those that are being filled.
    public let addingReplicas: [Int32]
    /// Those that go when the new ones are in sync.
    public let removingReplicas: [Int32]
}

extension Admin {
    /// Deletes the records before an offset of each partition; `Int64.max` stands for all that are there. The result is the
    /// first offset that is left (the low watermark).
    public func deleteRecords(
        before offsets: [TopicPartition: Int64]
    ) async throws(ClientError) -> Results<TopicPartition, Int64> {
        let timeout = timeoutMilliseconds
        return try await atLeaders(offsets.keys) { connection, partitions async throws(ClientError) in
            var request = DeleteRecordsRequest()
            request.timeoutMs = timeout
            request.topics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = DeleteRecordsRequest.DeleteRecordsTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = DeleteRecordsRequest.DeleteRecordsPartition()
                    entry.partitionIndex = partition.partition
                    // The wire has -1 for all.
                    entry.offset = offsets[partition]! == .max ? -1 : offsets[partition]!
                    return entry
                }
                return topic
            }
            let response = try await connection.send(request)
            var results: Results<TopicPartition, Int64> = [:]
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "\(partition)"), entry.lowWatermark)
                }
            }
            return results
        }
    }

    /// Gives partitions other replicas, the preferred leader first; nil takes a reassignment back that is under way. The
    /// new replicas are filled first; `reassignments` shows how far that is (KIP-455).
    public func alterReassignments(
        _ targets: [TopicPartition: [Int32]?]
    ) async throws(ClientError) -> Results<TopicPartition, Void> {
        let (cluster, timeout) = (cluster, timeoutMilliseconds)
        return try await batched(targets.keys, along: .controller) { open async throws(ClientError) in
            var request = AlterPartitionReassignmentsRequest()
            request.timeoutMs = timeout
            request.topics = Dictionary(grouping: open, by: \.topic).map { name, partitions in
                var topic = AlterPartitionReassignmentsRequest.ReassignableTopic()
                topic.name = name
                topic.partitions = partitions.map { partition in
                    var entry = AlterPartitionReassignmentsRequest.ReassignablePartition()
                    entry.partitionIndex = partition.partition
                    entry.replicas = targets[partition]!
                    return entry
                }
                return topic
            }
            let response = try await cluster.connection(.controller).send(request)
            if let error = ClientError.from(response.errorCode, "reassignments", message: response.errorMessage) {
                throw error
            }
            var results: Results<TopicPartition, Void> = [:]
            for topic in response.responses {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "\(partition)", message: entry.errorMessage), ())
                }
            }
            return results
        }
    }

    /// The reassignments that are under way, of some partitions or of all.
    public func reassignments(
        of partitions: [TopicPartition]? = nil
    ) async throws(ClientError) -> [TopicPartition: PartitionReassignment] {
        var request = ListPartitionReassignmentsRequest()
        request.timeoutMs = timeoutMilliseconds
        request.topics = partitions.map { partitions in
            Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = ListPartitionReassignmentsRequest.ListPartitionReassignmentsTopics()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
        }
        let response = try await cluster.call(request, .controller) { response in
            ClientError.from(response.errorCode, "reassignments", message: response.errorMessage)
        }
        var found: [TopicPartition: PartitionReassignment] = [:]
        for topic in response.topics {
            for entry in topic.partitions {
                found[TopicPartition(topic.name, entry.partitionIndex)] = PartitionReassignment(
                    replicas: entry.replicas, addingReplicas: entry.addingReplicas,
                    removingReplicas: entry.removingReplicas)
            }
        }
        return found
    }

    /// How a leader is chosen (KIP-460).
    public enum Election: Int8, Sendable {
        /// The first replica, when it is in sync.
        case preferred = 0
        /// Any replica that is alive, when none that is in sync is: records may be lost.
        case unclean = 1
    }

    /// Chooses leaders for some partitions, or for all that need it. A partition that needs none fails with
    /// ELECTION_NOT_NEEDED.
    public func electLeaders(
        _ election: Election = .preferred, of partitions: [TopicPartition]? = nil
    ) async throws(ClientError) -> Results<TopicPartition, Void> {
        var request = ElectLeadersRequest()
        request.electionType = election.rawValue
        request.timeoutMs = timeoutMilliseconds
        request.topicPartitions = partitions.map { partitions in
            Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = ElectLeadersRequest.TopicPartitions()
                topic.topic = name
                topic.partitions = partitions.map(\.partition)
                return topic
            }
        }
        let response = try await cluster.call(request, .controller) { response in
            ClientError.from(response.errorCode, "election")
        }
        var results: Results<TopicPartition, Void> = [:]
        for topic in response.replicaElectionResults {
            for entry in topic.partitionResult {
                let partition = TopicPartition(topic.topic, entry.partitionId)
                results[partition] = .of(
                    ClientError.from(entry.errorCode, "\(partition)", message: entry.errorMessage), ())
            }
        }
        return results
    }
}
