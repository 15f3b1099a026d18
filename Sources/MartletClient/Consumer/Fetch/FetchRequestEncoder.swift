import KafkaProtocol
import NIOCore

extension FetchPlan {
    /// The request's frame, with 0 as correlation id.
    func frame(_ configuration: ConsumerConfiguration, version: Int16) throws(ClientError) -> ByteBuffer {
        var request = FetchRequest()
        request.replicaId = -1
        request.maxWaitMs = Int32(clamping: maximumWait.milliseconds)
        request.minBytes = Int32(clamping: configuration.fetchMinimumBytes)
        request.maxBytes = Int32(clamping: maximumBytes)
        request.isolationLevel = configuration.isolationLevel == .readCommitted ? 1 : 0
        if version >= 7 {
            request.sessionId = session.id
            request.sessionEpoch = session.epoch
            request.forgottenTopicsData = forgotten(version)
        }
        if version >= 11 { request.rackId = configuration.clientRack ?? "" }
        request.topics = topics(configuration, version)
        return ByteBuffer(
            bytes: try RequestFrame.encode(request, version: version, clientId: configuration.clientId))
    }

    private func topics(_ configuration: ConsumerConfiguration, _ version: Int16) -> [FetchRequest.FetchTopic] {
        var topics: [FetchRequest.FetchTopic] = []
        // Before version 7 there are no sessions, and each request says everything.
        let named = version >= 7 ? Set(session.partitions) : []
        for entry in entries where version < 7 || named.contains(entry.name) {
            var partition = FetchRequest.FetchPartition()
            partition.partition = entry.name.partition
            if version >= 9 { partition.currentLeaderEpoch = entry.leaderEpoch }
            partition.fetchOffset = entry.offset
            partition.partitionMaxBytes = Int32(
                clamping: min(configuration.maximumPartitionFetchBytes, configuration.prefetchMemory))
            // In turn: a topic stands as often as its partitions do not follow each other.
            if topics.last?.topic == entry.name.topic {
                topics[topics.count - 1].partitions.append(partition)
            } else {
                var topic = FetchRequest.FetchTopic()
                topic.topic = entry.name.topic
                topic.topicId = entry.topicId
                topic.partitions = [partition]
                topics.append(topic)
            }
        }
        return topics
    }

    private func forgotten(_ version: Int16) -> [FetchRequest.ForgottenTopic] {
        Dictionary(grouping: session.forgotten, by: \.topic).sorted { $0.key < $1.key }.map { name, partitions in
            var topic = FetchRequest.ForgottenTopic()
            topic.topic = name
            topic.topicId = forgottenIds[name] ?? .zero
            topic.partitions = partitions.map(\.partition)
            return topic
        }
    }
}
