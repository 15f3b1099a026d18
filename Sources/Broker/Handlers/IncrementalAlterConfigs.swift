import ClusterMetadata
import Configuration
import KafkaProtocol

/// IncrementalAlterConfigs: sets and unsets single configurations (KIP-339).
enum IncrementalAlterConfigsHandler: RequestHandler {
    typealias Request = IncrementalAlterConfigsRequest

    private enum Operation: Int8 { case set, delete, append, subtract }

    static func handle(
        _ request: IncrementalAlterConfigsRequest, _ context: RequestContext
    ) -> HandlerOutcome<IncrementalAlterConfigsResponse> {
        context.onControlThread { broker in
            var response = IncrementalAlterConfigsResponse()
            response.responses = request.resources.map { asked in
                var result = IncrementalAlterConfigsResponse.AlterConfigsResourceResponse()
                result.resourceType = asked.resourceType
                result.resourceName = asked.resourceName
                do throws(MetadataRefusal) {
                    try alter(asked, validateOnly: request.validateOnly, broker)
                } catch {
                    result.errorCode = error.code.rawValue
                    result.errorMessage = error.message
                }
                return result
            }
            return response
        }
    }

    private static func alter(
        _ asked: IncrementalAlterConfigsRequest.AlterConfigsResource, validateOnly: Bool, _ broker: Broker
    ) throws(MetadataRefusal) {
        let resource = try ConfigurationResource(asked.resourceType, asked.resourceName)
        var values = try resource.values(broker)
        var seen = Set<String>()
        for change in asked.configs {
            guard seen.insert(change.name).inserted else {
                throw MetadataRefusal(.invalidRequest, "The request changes \(change.name) twice.")
            }
            guard let operation = Operation(rawValue: change.configOperation) else {
                throw MetadataRefusal(.invalidRequest, "Unknown operation \(change.configOperation).")
            }
            let definition = try ConfigurationChange.definition(change.name, in: resource)
            switch operation {
            case .delete:
                values.remove(change.name)
            case .set:
                try ConfigurationChange.set(definition, to: change.value, in: &values)
            case .append, .subtract:
                guard case .list = definition.type else {
                    throw MetadataRefusal(.invalidConfig, "\(change.name) is not a list.")
                }
                let named = ConfigurationType.elements(of: change.value ?? "")
                let current = try currentValue(change.name, values, resource, broker)
                var elements = ConfigurationType.elements(of: current)
                elements.removeAll { named.contains($0) }
                if operation == .append { elements += named }
                try ConfigurationChange.set(definition, to: elements.joined(separator: ","), in: &values)
            }
        }
        if !validateOnly { try resource.store(values, broker) }
    }

    private static func currentValue(
        _ name: String, _ values: ConfigurationValues, _ resource: ConfigurationResource, _ broker: Broker
    ) throws(MetadataRefusal) -> String {
        if let value = values[name] { return value }
        if case .broker(let id?) = resource, id != broker.cluster.nodeId {
            // What stands in another node's file is not known here.
            return broker.configurations.dynamicDefault[name] ?? resource.definitions[name]?.defaultValue ?? ""
        }
        return try resource.describe(broker).first { $0.definition.name == name }?.value ?? ""
    }
}

/// What both ways of altering configurations check.
enum ConfigurationChange {
    static func definition(
        _ name: String, in resource: ConfigurationResource
    ) throws(MetadataRefusal) -> ConfigurationDefinition {
        guard let definition = resource.definitions[name] else {
            throw MetadataRefusal(
                .invalidConfig, "\(ConfigurationError.unknownName(name, among: resource.definitions.keys))")
        }
        guard definition.update == .atRunTime else {
            throw MetadataRefusal(.invalidRequest, "\(name) can be set only when the broker starts.")
        }
        return definition
    }

    static func set(
        _ definition: ConfigurationDefinition, to value: String?, in values: inout ConfigurationValues
    ) throws(MetadataRefusal) {
        guard let value else {
            throw MetadataRefusal(.invalidConfig, "Null value for \(definition.name).")
        }
        if let objection = definition.type.objection(to: value) {
            throw MetadataRefusal(
                .invalidConfig, "Invalid value \(value) for configuration \(definition.name): \(objection).")
        }
        do {
            try values.set(definition.name, to: value, in: [definition.name: definition])
        } catch {
            throw MetadataRefusal(.invalidConfig, "\(error)")
        }
    }
}
