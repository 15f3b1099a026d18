import ClusterMetadata
import KafkaProtocol

/// UnregisterBroker: forgets a node that is gone for good.
enum UnregisterBrokerHandler: RequestHandler {
    typealias Request = UnregisterBrokerRequest

    static func handle(
        _ request: UnregisterBrokerRequest, _ context: RequestContext
    ) -> HandlerOutcome<UnregisterBrokerResponse> {
        context.onControlThread { broker in
            var response = UnregisterBrokerResponse()
            do throws(MetadataRefusal) {
                let image = broker.cluster.image
                try broker.controller.store(try image.unregistration(of: request.brokerId)) {
                    $0.deleteNode(request.brokerId, from: image)
                }
            } catch {
                response.errorCode = error.code.rawValue
                response.errorMessage = error.message
            }
            return response
        }
    }
}
