import ClusterMetadata
import Configuration
import KafkaProtocol

/// DescribeConfigs: the configurations of topics and of this broker, from their declarations.
enum DescribeConfigsHandler: RequestHandler {
    typealias Request = DescribeConfigsRequest

    static func handle(
        _ request: DescribeConfigsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeConfigsResponse> {
        var response = DescribeConfigsResponse()
        response.results = request.resources.map { resource in
            var result = DescribeConfigsResponse.DescribeConfigsResult()
            result.resourceType = resource.resourceType
            result.resourceName = resource.resourceName
            do throws(MetadataRefusal) {
                // No keys at all means every configuration, as null does.
                let keys = resource.configurationKeys.flatMap { $0.isEmpty ? nil : Set($0) }
                result.configs = try ConfigurationResource(resource.resourceType, resource.resourceName)
                    .describe(context.broker)
                    .filter { keys?.contains($0.definition.name) ?? true }
                    .map { entry($0, request) }
            } catch {
                result.errorCode = error.code.rawValue
                result.errorMessage = error.message
            }
            return result
        }
        return .reply(response)
    }

    private static func entry(
        _ description: ConfigurationDescription, _ request: DescribeConfigsRequest
    ) -> DescribeConfigsResponse.DescribeConfigsResourceResult {
        let definition = description.definition
        var entry = DescribeConfigsResponse.DescribeConfigsResourceResult()
        entry.name = definition.name
        entry.value = description.value
        entry.readOnly = definition.update == .atStart
        entry.configSource = description.source.rawValue
        entry.configType = definition.type.protocolNumber
        entry.documentation = request.includeDocumentation ? definition.summary : nil
        if request.includeSynonyms {
            entry.synonyms = description.synonyms.map { synonym in
                var result = DescribeConfigsResponse.DescribeConfigsSynonym()
                result.name = synonym.name
                result.value = synonym.value
                result.source = synonym.source.rawValue
                return result
            }
        }
        return entry
    }
}
