import ClusterMetadata
import KafkaProtocol

/// Metadata: brokers, topics and who leads what. May make topics that are asked for and not there.
enum MetadataHandler: RequestHandler {
    typealias Request = MetadataRequest

    static func handle(_ request: MetadataRequest, _ context: RequestContext) -> HandlerOutcome<MetadataResponse> {
        let missing = topicsToCreate(request, context)
        let version = context.version
        let listener = context.connection.listener
        guard missing.isEmpty else {
            let ticket = context.laterReply(MetadataResponse.self)
            let broker = context.broker
            broker.ensureTopics(missing) {
                ticket.complete(respond(to: request, version: version, listener: listener, broker))
            }
            return .later
        }
        return .reply(respond(to: request, version: version, listener: listener, context.broker))
    }

    private static func topicsToCreate(_ request: MetadataRequest, _ context: RequestContext) -> [String] {
        let isAllowed = context.version < 4 || request.allowAutoTopicCreation
        guard isAllowed, context.broker.configuration.bool("auto.create.topics.enable"), let topics = request.topics
        else { return [] }
        let table = context.loop.topics
        return topics.compactMap { topic in
            guard let name = topic.name, TopicName.objection(to: name) == nil, table.topic(named: name) == nil
            else { return nil }
            return name
        }
    }

    private static func respond(
        to request: MetadataRequest, version: Int16, listener: String, _ broker: Broker
    ) -> MetadataResponse {
        let image = broker.cluster.image
        var response = MetadataResponse()
        let nodes = broker.membership.visibleNodes
        response.brokers = nodes.values.sorted { $0.nodeId < $1.nodeId }.map { registration in
            let endpoint = broker.endpoint(of: registration, listener: listener)
            var entry = MetadataResponse.MetadataResponseBroker()
            entry.nodeId = registration.nodeId
            entry.host = endpoint.host
            entry.port = endpoint.port
            entry.rack = registration.rack
            return entry
        }
        response.clusterId = image.clusterId
        response.controllerId = image.controllerId
        if request.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = AuthorizedOperations.cluster
        }

        // Version 0 has no null: an empty list means all topics there.
        if let topics = request.topics, !(version == 0 && topics.isEmpty) {
            response.topics = topics.map { describe($0, image, nodes, request) }
        } else {
            response.topics = image.topics.values.sorted { $0.name < $1.name }.map {
                describe($0, image, nodes, request)
            }
        }
        return response
    }

    private static func describe(
        _ asked: MetadataRequest.MetadataRequestTopic, _ image: MetadataImage, _ nodes: [Int32: BrokerRegistration],
        _ request: MetadataRequest
    ) -> MetadataResponse.MetadataResponseTopic {
        var missing = MetadataResponse.MetadataResponseTopic()
        missing.name = asked.name ?? ""
        missing.topicId = asked.topicId
        if let name = asked.name {
            if let topic = image.topic(named: name) { return describe(topic, image, nodes, request) }
            missing.errorCode = ErrorCode(missingTopic: name).rawValue
        } else {
            if let topic = image.topic(withId: asked.topicId) { return describe(topic, image, nodes, request) }
            missing.name = nil
            missing.errorCode = ErrorCode.unknownTopicId.rawValue
        }
        return missing
    }

    private static func describe(
        _ topic: TopicMetadata, _ image: MetadataImage, _ nodes: [Int32: BrokerRegistration], _ request: MetadataRequest
    ) -> MetadataResponse.MetadataResponseTopic {
        var entry = MetadataResponse.MetadataResponseTopic()
        entry.name = topic.name
        entry.topicId = topic.id
        entry.isInternal = topic.isInternal
        if request.includeTopicAuthorizedOperations {
            entry.topicAuthorizedOperations = AuthorizedOperations.topic
        }
        entry.partitions = topic.partitions.enumerated().map { index, partition in
            var result = MetadataResponse.MetadataResponsePartition()
            result.partitionIndex = Int32(index)
            result.leaderId = nodes[partition.leader] == nil ? -1 : partition.leader
            result.leaderEpoch = partition.leaderEpoch
            result.replicaNodes = partition.replicas
            result.isrNodes = partition.inSyncReplicas
            result.offlineReplicas = image.offline(partition.replicas)
            if result.leaderId < 0 { result.errorCode = ErrorCode.leaderNotAvailable.rawValue }
            return result
        }
        return entry
    }
}

/// What a client may do, as bits by the numbers of Kafka's AclOperation. Without an authorizer, all that applies.
enum AuthorizedOperations {
    /// Read, write, create, delete, alter, describe, describe configs, alter configs.
    static let topic: Int32 = 0b1101_1111_1000
    /// Create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
    static let cluster: Int32 = 0b1_1111_1010_0000
    /// Read, delete, describe.
    static let group: Int32 = 0b1_0100_1000
}
