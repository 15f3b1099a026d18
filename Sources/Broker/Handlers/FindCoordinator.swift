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
        guard let topic = topic(of: request.keyType), !broker.isReady(topic) else {
            return .reply(respond(to: request, version: version, listener: listener, broker))
        }
        let ticket = context.laterReply(FindCoordinatorResponse.self)
        broker.control.enqueue {
            broker.topicService.createAutomatically(topic)
            // Behind the loading of the new partitions, so that the client's next request finds its group served.
            broker.control.enqueue {
                ticket.complete(respond(to: request, version: version, listener: listener, broker))
            }
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
        var failure: (code: ErrorCode, message: String)?
        if let topic = topic(of: request.keyType) {
            if !broker.isReady(topic) { failure = (.coordinatorNotAvailable, "\(topic) could not be made.") }
        } else {
            // Not COORDINATOR_NOT_AVAILABLE, which clients would retry for ever.
            failure = (.invalidRequest, "This broker coordinates groups and transactions only.")
        }
        let image = broker.controller.image
        let node = image.brokers[broker.controller.nodeId]
        let endpoint = node.map { broker.endpoint(of: $0, listener: listener) }

        var response = FindCoordinatorResponse()
        if version >= 4 {
            response.coordinators = request.coordinatorKeys.map { key in
                var coordinator = FindCoordinatorResponse.Coordinator()
                coordinator.key = key
                coordinator.nodeId = failure == nil ? broker.controller.nodeId : -1
                coordinator.host = failure == nil ? endpoint?.host ?? "" : ""
                coordinator.port = failure == nil ? endpoint?.port ?? -1 : -1
                coordinator.errorCode = (failure?.code ?? .none).rawValue
                coordinator.errorMessage = failure?.message
                return coordinator
            }
        } else {
            response.nodeId = failure == nil ? broker.controller.nodeId : -1
            response.host = failure == nil ? endpoint?.host ?? "" : ""
            response.port = failure == nil ? endpoint?.port ?? -1 : -1
            response.errorCode = (failure?.code ?? .none).rawValue
            response.errorMessage = failure?.message
        }
        return response
    }
}

extension Broker {
    /// Whether a coordinator's topic is there.
    fileprivate func isReady(_ topic: String) -> Bool {
        topic == InternalTopic.consumerOffsets ? groups.shards.isReady : transactions.shards.isReady
    }
}
