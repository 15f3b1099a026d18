import ClusterMetadata
import KafkaProtocol

/// FindCoordinator: which broker has a group. Makes `__consumer_offsets` when it is asked for the first time.
enum FindCoordinatorHandler: RequestHandler {
    typealias Request = FindCoordinatorRequest

    private static let groupKey: Int8 = 0

    static func handle(
        _ request: FindCoordinatorRequest, _ context: RequestContext
    ) -> HandlerOutcome<FindCoordinatorResponse> {
        let version = context.version
        let listener = context.connection.listener
        guard request.keyType == groupKey, !context.broker.groups.isReady else {
            return .reply(respond(to: request, version: version, listener: listener, context.broker))
        }
        let ticket = context.laterReply(FindCoordinatorResponse.self)
        let broker = context.broker
        broker.control.enqueue {
            broker.topicService.createAutomatically(InternalTopic.consumerOffsets)
            // Behind the loading of the new partitions, so that the client's next request finds its group served.
            broker.control.enqueue {
                ticket.complete(respond(to: request, version: version, listener: listener, broker))
            }
        }
        return .later
    }

    private static func respond(
        to request: FindCoordinatorRequest, version: Int16, listener: String, _ broker: Broker
    ) -> FindCoordinatorResponse {
        var failure: (code: ErrorCode, message: String)?
        if request.keyType != groupKey {
            // Not COORDINATOR_NOT_AVAILABLE, which clients would retry for ever.
            failure = (.invalidRequest, "This broker coordinates groups only; transactions are not supported yet.")
        } else if !broker.groups.isReady {
            failure = (.coordinatorNotAvailable, "The topic of the groups could not be made.")
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
