import KafkaProtocol

extension OffsetQuestion {
    /// Asks the leader. What it says nothing about is missing from the answers.
    func ask(
        _ connection: BrokerConnection, committedOnly: Bool
    ) async throws(ClientError) -> [OffsetAnswer] {
        switch kind {
        case .place: try await askForPlaces(connection, committedOnly)
        case .epochEnd: try await askForEpochEnds(connection)
        }
    }

    private var byTopic: [(topic: String, entries: [Entry])] {
        Dictionary(grouping: entries, by: \.name.topic).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func askForPlaces(
        _ connection: BrokerConnection, _ committedOnly: Bool
    ) async throws(ClientError) -> [OffsetAnswer] {
        guard let version = connection.version(of: ListOffsetsRequest.self) else {
            throw ClientError(.unsupportedVersion, "\(connection.address) does not know ListOffsets as this client")
        }
        var request = ListOffsetsRequest()
        request.replicaId = -1
        if version >= 2 { request.isolationLevel = committedOnly ? 1 : 0 }
        request.topics = byTopic.map { name, entries in
            var topic = ListOffsetsRequest.ListOffsetsTopic()
            topic.name = name
            topic.partitions = entries.map { entry in
                var partition = ListOffsetsRequest.ListOffsetsPartition()
                partition.partitionIndex = entry.name.partition
                if version >= 4 { partition.currentLeaderEpoch = entry.leaderEpoch }
                partition.timestamp = entry.position?.wireTimestamp ?? -1
                return partition
            }
            return topic
        }
        let response = try await connection.send(request)
        var answers: [TopicPartition: ListOffsetsResponse.ListOffsetsPartitionResponse] = [:]
        for topic in response.topics {
            for partition in topic.partitions {
                answers[TopicPartition(topic.name, partition.partitionIndex)] = partition
            }
        }
        return entries.compactMap { entry in
            answers[entry.name].map { answer in
                OffsetAnswer(
                    reference: entry.reference, errorCode: ErrorCode(rawValue: answer.errorCode),
                    offset: answer.offset, epoch: answer.leaderEpoch)
            }
        }
    }

    private func askForEpochEnds(_ connection: BrokerConnection) async throws(ClientError) -> [OffsetAnswer] {
        // Before version 3 only brokers may ask.
        guard let version = connection.version(of: OffsetForLeaderEpochRequest.self), version >= 3 else {
            throw ClientError(
                .unsupportedVersion, "\(connection.address) does not know OffsetForLeaderEpoch as this client")
        }
        var request = OffsetForLeaderEpochRequest()
        request.replicaId = -1
        request.topics = byTopic.map { name, entries in
            var topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic()
            topic.topic = name
            topic.partitions = entries.map { entry in
                var partition = OffsetForLeaderEpochRequest.OffsetForLeaderPartition()
                partition.partition = entry.name.partition
                partition.currentLeaderEpoch = entry.leaderEpoch
                partition.leaderEpoch = entry.epoch
                return partition
            }
            return topic
        }
        let response = try await connection.send(request)
        var answers: [TopicPartition: OffsetForLeaderEpochResponse.EpochEndOffset] = [:]
        for topic in response.topics {
            for partition in topic.partitions { answers[TopicPartition(topic.topic, partition.partition)] = partition }
        }
        return entries.compactMap { entry in
            answers[entry.name].map { answer in
                OffsetAnswer(
                    reference: entry.reference, errorCode: ErrorCode(rawValue: answer.errorCode),
                    offset: answer.endOffset, epoch: answer.leaderEpoch)
            }
        }
    }
}
