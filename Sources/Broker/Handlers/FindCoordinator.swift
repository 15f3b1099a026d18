import ClusterMetadata
import KafkaProtocol

/// FindCoordinator: which broker has a group or a transactional id. Makes the coordinator's topic when it is asked for
/// the first time.
enum FindCoordinatorHandler: RequestHandler {
    typealias Request = FindCoordinatorRequest

    private enum KeyType {
        static let group: Int8 = 0
        static let transaction: Int8 = 1
    }

    static func handle(
        _ request: FindCoordinatorRequest, _ context: RequestContext
    ) -> HandlerOutcome<FindCoordinatorResponse> {
        let version = context.version
        let listener = context.connection.listener
        let broker = context.broker
        guard let topic = topic(of: request.keyType), broker.cluster.image.topic(named: topic) == nil else {
            return .reply(respond(to: request, version: version, listener: listener, broker))
        }
        let ticket = context.laterReply(FindCoordinatorResponse.self)
        broker.ensureTopic(topic) {
            ticket.complete(respond(to: request, version: version, listener: listener, broker))
        }
        return .later
    }

    private static func topic(of keyType: Int8) -> String? {
        switch keyType {
        case KeyType.group: InternalTopic.consumerOffsets
        case KeyType.transaction: InternalTopic.transactionState
        default: nil
        }
    }

    private static func respond(
        to request: FindCoordinatorRequest, version: Int16, listener: String, _ broker: Broker
    ) -> FindCoordinatorResponse {
        let coordinators = (version >= 4 ? request.coordinatorKeys : [request.key]).map {
            coordinator(of: $0, keyType: request.keyType, listener: listener, broker)
        }
        var response = FindCoordinatorResponse()
        if version >= 4 {
            response.coordinators = coordinators
        } else {
            response.nodeId = coordinators[0].nodeId
            response.host = coordinators[0].host
            response.port = coordinators[0].port
            response.errorCode = coordinators[0].errorCode
            response.errorMessage = coordinators[0].errorMessage
        }
        return response
    }

    private static func coordinator(
        of key: String, keyType: Int8, listener: String, _ broker: Broker
    ) -> FindCoordinatorResponse.Coordinator {
        var coordinator = FindCoordinatorResponse.Coordinator()
        coordinator.key = key
        coordinator.nodeId = -1
        coordinator.port = -1
        func refuse(_ code: ErrorCode, _ message: String) -> FindCoordinatorResponse.Coordinator {
            coordinator.errorCode = code.rawValue
            coordinator.errorMessage = message
            return coordinator
        }
        guard let topic = topic(of: keyType) else {
            // Not COORDINATOR_NOT_AVAILABLE, which clients would retry for ever.
            return refuse(.invalidRequest, "This broker coordinates groups and transactions only.")
        }
        let image = broker.cluster.image
        guard image.topic(named: topic) != nil else {
            return refuse(.coordinatorNotAvailable, "\(topic) could not be made.")
        }
        let node =
            keyType == KeyType.group ? broker.groups.shards.node(of: key) : broker.transactions.shards.node(of: key)
        guard let node, let registration = broker.membership.visibleNodes[node] else {
            return refuse(.coordinatorNotAvailable, "Nobody leads the coordinator's partition now.")
        }
        let endpoint = broker.endpoint(of: registration, listener: listener)
        coordinator.nodeId = node
        coordinator.host = endpoint.host
        coordinator.port = endpoint.port
        return coordinator
    }
}
