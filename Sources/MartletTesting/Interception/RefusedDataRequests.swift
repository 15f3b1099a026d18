import Broker
import KafkaProtocol

extension ProduceRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topicData.map { broker.topicName($0.name, $0.topicId) }
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> ProduceResponse {
        var response = ProduceResponse()
        response.responses = topicData.map { topic in
            var result = ProduceResponse.TopicProduceResponse()
            result.name = topic.name
            result.topicId = topic.topicId
            result.partitionResponses = topic.partitionData.map { partition in
                var single = ProduceResponse.PartitionProduceResponse()
                single.index = partition.index
                single.errorCode = code.rawValue
                single.baseOffset = -1
                return single
            }
            return result
        }
        return response
    }
}

extension FetchRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        asked(broker).map { broker.topicName($0.topicName, $0.topicId) }
    }

    /// An incremental request leaves out what its session knows, and the reply names that too. It also ends the session,
    /// whose epoch is not the client's any more: the client's next request says everything.
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> FetchResponse {
        var response = FetchResponse()
        for (name, id, partition) in asked(broker) {
            var data = FetchResponse.PartitionData()
            data.partitionIndex = partition
            data.errorCode = code.rawValue
            data.highWatermark = -1
            data.abortedTransactions = nil
            data.records = []
            if let place = response.responses.firstIndex(where: { $0.topic == name && $0.topicId == id }) {
                response.responses[place].partitions.append(data)
            } else {
                var topic = FetchResponse.FetchableTopicResponse()
                topic.topic = name
                topic.topicId = id
                topic.partitions = [data]
                response.responses.append(topic)
            }
        }
        return response
    }
}

extension FetchRequest {
    /// The partitions of the request, and those that its session knows.
    private func asked(_ broker: Broker) -> [(topicName: String, topicId: Uuid, partition: Int32)] {
        // Before version 7 there are no sessions, and the epoch is -1.
        var asked = sessionEpoch > 0 ? broker.partitions(ofFetchSession: sessionId) : []
        for topic in forgottenTopicsData {
            asked.removeAll { known in
                known.topicName == topic.topic && known.topicId == topic.topicId
                    && topic.partitions.contains(known.partition)
            }
        }
        for topic in topics {
            for partition in topic.partitions.map(\.partition) {
                let named = (topic.topic, topic.topicId, partition)
                if !asked.contains(where: { $0 == named }) { asked.append(named) }
            }
        }
        return asked
    }
}

extension ListOffsetsRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> ListOffsetsResponse {
        var response = ListOffsetsResponse()
        response.topics = topics.map { topic in
            var result = ListOffsetsResponse.ListOffsetsTopicResponse()
            result.name = topic.name
            result.partitions = topic.partitions.map { partition in
                var single = ListOffsetsResponse.ListOffsetsPartitionResponse()
                single.partitionIndex = partition.partitionIndex
                single.errorCode = code.rawValue
                return single
            }
            return result
        }
        return response
    }
}

extension OffsetForLeaderEpochRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.topic)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> OffsetForLeaderEpochResponse {
        var response = OffsetForLeaderEpochResponse()
        response.topics = topics.map { topic in
            var result = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
            result.topic = topic.topic
            result.partitions = topic.partitions.map { partition in
                var single = OffsetForLeaderEpochResponse.EpochEndOffset()
                single.partition = partition.partition
                single.errorCode = code.rawValue
                return single
            }
            return result
        }
        return response
    }
}

extension MetadataRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        (topics ?? []).map { broker.topicName($0.name, $0.topicId) }
    }

    /// Only topics can fail: without the brokers a client would not know whom to ask again.
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> MetadataResponse {
        let image = broker.cluster.image
        var response = MetadataResponse()
        response.clusterId = image.clusterId
        response.controllerId = broker.cluster.nodeId
        response.brokers = image.brokers.values.sorted { $0.nodeId < $1.nodeId }.map { registration in
            var entry = MetadataResponse.MetadataResponseBroker()
            entry.nodeId = registration.nodeId
            entry.host = registration.endpoints[0].host
            entry.port = registration.endpoints[0].port
            entry.rack = registration.rack
            return entry
        }
        func failed(_ name: String?, _ id: Uuid) -> MetadataResponse.MetadataResponseTopic {
            var topic = MetadataResponse.MetadataResponseTopic()
            // Before version 12 the reply has no null name.
            topic.name = name ?? image.topic(withId: id)?.name ?? (version >= 12 ? nil : "")
            topic.topicId = id
            topic.errorCode = code.rawValue
            return topic
        }
        // Version 0 has no null: an empty list means all topics there.
        if let topics, !(version == 0 && topics.isEmpty) {
            response.topics = topics.map { failed($0.name, $0.topicId) }
        } else {
            response.topics = image.topics.values.sorted { $0.name < $1.name }.map { failed($0.name, $0.id) }
        }
        return response
    }
}
