import KafkaProtocol

/// What configurations belong to.
package enum ConfigurationOwner: Sendable, Hashable, CustomStringConvertible {
    case topic(String)
    case broker(Int32)
    /// The default of all brokers.
    case allBrokers

    /// The number of Kafka's ConfigResource type.
    var type: Int8 {
        switch self {
        case .topic: 2
        case .broker, .allBrokers: 4
        }
    }

    var name: String {
        switch self {
        case .topic(let name): name
        case .broker(let id): "\(id)"
        case .allBrokers: ""
        }
    }

    package var description: String {
        switch self {
        case .topic(let name): "topic '\(name)'"
        case .broker(let id): "broker \(id)"
        case .allBrokers: "all brokers"
        }
    }
}

/// A configuration's value and where it comes from.
package struct ConfigurationEntry: Sendable, Equatable {
    package enum Source: Int8, Sendable {
        case unknown = 0
        case topic = 1
        case broker = 2
        case allBrokers = 3
        case brokerFile = 4
        case builtIn = 5

        package var description: String {
            switch self {
            case .unknown: "unknown"
            case .topic: "topic"
            case .broker: "broker"
            case .allBrokers: "all brokers"
            case .brokerFile: "broker's file"
            case .builtIn: "default"
            }
        }
    }

    package let name: String
    /// nil for sensitive ones, which brokers never tell, and where there is none.
    package let value: String?
    package let source: Source
    package let isReadOnly: Bool
    package let isSensitive: Bool
    package let documentation: String?
}

package struct ConfigurationChange: Sendable {
    package let name: String
    /// nil goes back to the default.
    package let value: String?

    package init(name: String, value: String?) {
        self.name = name
        self.value = value
    }
}

extension Administrator {
    /// All configurations of each owner, by name.
    package func configurations(
        of owner: ConfigurationOwner, withDocumentation: Bool = false
    ) async throws(ClientError) -> [ConfigurationEntry] {
        var resource = DescribeConfigsRequest.DescribeConfigsResource()
        resource.resourceType = owner.type
        resource.resourceName = owner.name
        resource.configurationKeys = nil
        var request = DescribeConfigsRequest()
        request.resources = [resource]
        // Versions below 3 have no documentation.
        let route = route(owner)
        let version = try await cluster.connection(route).version(of: DescribeConfigsRequest.self) ?? 0
        request.includeDocumentation = withDocumentation && version >= 3
        let response = try await cluster.call(request, route) { response in
            guard let result = response.results.first else {
                return ClientError(.malformedReply, "the broker's reply says nothing of \(owner)")
            }
            return ClientError.from(result.errorCode, "\(owner)", message: result.errorMessage)
        }
        return response.results[0].configs.map { config in
            ConfigurationEntry(
                name: config.name, value: config.isSensitive ? nil : config.value,
                source: ConfigurationEntry.Source(rawValue: config.configSource) ?? .unknown,
                isReadOnly: config.readOnly, isSensitive: config.isSensitive, documentation: config.documentation)
        }.sorted { $0.name < $1.name }
    }

    /// Changes configurations of one owner, all or none. Throws `refused`.
    package func changeConfigurations(
        of owner: ConfigurationOwner, _ changes: [ConfigurationChange]
    ) async throws(ClientError) {
        var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
        resource.resourceType = owner.type
        resource.resourceName = owner.name
        resource.configs = changes.map { change in
            var config = IncrementalAlterConfigsRequest.AlterableConfig()
            config.name = change.name
            config.configOperation = change.value == nil ? 1 : 0
            config.value = change.value
            return config
        }
        var request = IncrementalAlterConfigsRequest()
        request.resources = [resource]
        _ = try await cluster.call(request, route(owner), isRepeatable: true) { response in
            response.responses.lazy.compactMap {
                ClientError.from($0.errorCode, "\(owner)", message: $0.errorMessage)
            }.first
        }
    }

    private func route(_ owner: ConfigurationOwner) -> Cluster.Route {
        switch owner {
        case .broker(let id): .node(id)
        case .topic, .allBrokers: .controller
        }
    }
}
