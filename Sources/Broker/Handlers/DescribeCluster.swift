import KafkaProtocol

/// DescribeCluster: the brokers, for admin clients.
enum DescribeClusterHandler: RequestHandler {
    typealias Request = DescribeClusterRequest

    static func handle(
        _ request: DescribeClusterRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeClusterResponse> {
        var response = DescribeClusterResponse()
        guard request.endpointType == 1 else {
            response.errorCode =
                (request.endpointType == 2 ? ErrorCode.mismatchedEndpointType : .unsupportedEndpointType).rawValue
            response.errorMessage = "This is a broker's endpoint."
            return .reply(response)
        }
        let image = context.broker.cluster.image
        response.clusterId = image.clusterId
        response.controllerId = image.controllerId
        response.endpointType = 1
        if request.includeClusterAuthorizedOperations {
            response.clusterAuthorizedOperations = AuthorizedOperations.cluster
        }
        response.brokers = context.broker.membership.visibleNodes.values.sorted { $0.nodeId < $1.nodeId }.map {
            registration in
            let endpoint = context.broker.endpoint(of: registration, listener: context.connection.listener)
            var entry = DescribeClusterResponse.DescribeClusterBroker()
            entry.brokerId = registration.nodeId
            entry.host = endpoint.host
            entry.port = endpoint.port
            entry.rack = registration.rack
            return entry
        }
        return .reply(response)
    }
}
