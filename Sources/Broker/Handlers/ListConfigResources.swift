import KafkaProtocol

/// ListConfigResources: what has configurations. Version 0 asks for client metrics only, of which there are none.
enum ListConfigResourcesHandler: RequestHandler {
    typealias Request = ListConfigResourcesRequest

    static func handle(
        _ request: ListConfigResourcesRequest, _ context: RequestContext
    ) -> HandlerOutcome<ListConfigResourcesResponse> {
        var response = ListConfigResourcesResponse()
        guard context.version >= 1 else { return .reply(response) }
        let image = context.broker.cluster.image
        let all = request.resourceTypes.isEmpty
        func add(_ names: [String], _ type: Int8) {
            guard all || request.resourceTypes.contains(type) else { return }
            for name in names {
                var resource = ListConfigResourcesResponse.ConfigResource()
                resource.resourceName = name
                resource.resourceType = type
                response.configResources.append(resource)
            }
        }
        add(image.topics.keys.sorted(), ConfigurationResource.topicType)
        add(image.brokers.keys.sorted().map { "\($0)" }, ConfigurationResource.brokerType)
        return .reply(response)
    }
}
