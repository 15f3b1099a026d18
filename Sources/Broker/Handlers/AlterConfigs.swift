import ClusterMetadata
import Configuration
import KafkaProtocol

/// AlterConfigs: the older way, which replaces all configurations of a resource.
enum AlterConfigsHandler: RequestHandler {
    typealias Request = AlterConfigsRequest

    static func handle(
        _ request: AlterConfigsRequest, _ context: RequestContext
    ) -> HandlerOutcome<AlterConfigsResponse> {
        context.onControlThread { broker in
            var response = AlterConfigsResponse()
            response.responses = request.resources.map { asked in
                var result = AlterConfigsResponse.AlterConfigsResourceResponse()
                result.resourceType = asked.resourceType
                result.resourceName = asked.resourceName
                do throws(MetadataRefusal) {
                    let resource = try ConfigurationResource(asked.resourceType, asked.resourceName)
                    _ = try resource.values(broker)
                    var values = ConfigurationValues()
                    for config in asked.configs {
                        let definition = try ConfigurationChange.definition(config.name, in: resource)
                        try ConfigurationChange.set(definition, to: config.value, in: &values)
                    }
                    if !request.validateOnly { try resource.store(values, broker) }
                } catch {
                    result.errorCode = error.code.rawValue
                    result.errorMessage = error.message
                }
                return result
            }
            return response
        }
    }
}
