import KafkaProtocol

/// What configurations belong to.
public enum ConfigurationOwner: Sendable, Hashable, CustomStringConvertible {
    /// A topic, by its name.
    case topic(String)
    /// A broker, by its id.
    case broker(Int32)
    /// The default of all brokers.
    case allBrokers

    static let topicType: Int8 = 2
    static let brokerType: Int8 = 4

    /// The number of Kafka's ConfigResource type.
    var type: Int8 {
        switch self {
        case .topic: Self.topicType
        case .broker, .allBrokers: Self.brokerType
        }
    }

    var name: String {
        switch self {
        case .topic(let name): name
        case .broker(let id): "\(id)"
        case .allBrokers: ""
        }
    }

    /// `topic 'name'`, `broker id`, `all brokers`.
    public var description: String {
        switch self {
        case .topic(let name): "topic '\(name)'"
        case .broker(let id): "broker \(id)"
        case .allBrokers: "all brokers"
        }
    }
}

/// A configuration's value and where it comes from.
public struct ConfigurationEntry: Sendable, Equatable {
    /// Who has set a value; the first that has counts.
    public enum Source: Int8, Sendable, CustomStringConvertible {
        /// The broker does not say.
        case unknown = 0
        /// Set for the topic.
        case topic = 1
        /// Set for the broker while it runs.
        case broker = 2
        /// Set for all brokers while they run.
        case allBrokers = 3
        /// In the broker's file, or on its command line.
        case brokerFile = 4
        /// Nobody has set it.
        case builtIn = 5

        /// In words.
        public var description: String {
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

    /// Kafka's name of it.
    public let name: String
    /// nil for sensitive ones, which brokers never tell, and where there is none.
    public let value: String?
    /// Who has set it.
    public let source: Source
    /// Whether only a restart with another file changes it.
    public let isReadOnly: Bool
    /// Whether it is a secret.
    public let isSensitive: Bool
    /// What it does; nil unless it was asked for.
    public let documentation: String?
}

/// How a configuration is to be changed.
public struct ConfigurationChange: Sendable, Hashable {
    /// What happens to the value (KIP-339).
    public enum Operation: Sendable, Hashable {
        /// This is the value.
        case set(String)
        /// The default is.
        case reset
        /// These come into the list, separated by commas.
        case append(String)
        /// These go from the list, separated by commas.
        case subtract(String)
    }

    /// Kafka's name of it.
    public let name: String
    /// What happens to it.
    public let operation: Operation

    /// A change of one configuration.
    public init(_ name: String, _ operation: Operation) {
        self.name = name
        self.operation = operation
    }
}

extension Admin {
    /// All configurations of each owner, by name.
    public func configurations(
        of owners: [ConfigurationOwner], withDocumentation: Bool = false
    ) async throws(ClientError) -> Results<ConfigurationOwner, [ConfigurationEntry]> {
        let cluster = cluster
        return try await batched(owners) { open async throws(ClientError) in
            var results: Results<ConfigurationOwner, [ConfigurationEntry]> = [:]
            for (route, owners) in Dictionary(grouping: open, by: Self.route) {
                var request = DescribeConfigsRequest()
                request.resources = owners.map { owner in
                    var resource = DescribeConfigsRequest.DescribeConfigsResource()
                    resource.resourceType = owner.type
                    resource.resourceName = owner.name
                    resource.configurationKeys = nil
                    return resource
                }
                let response: DescribeConfigsResponse
                do throws(ClientError) {
                    let connection = try await cluster.connection(route)
                    // Versions below 3 have no documentation.
                    let version = connection.version(of: DescribeConfigsRequest.self) ?? 0
                    request.includeDocumentation = withDocumentation && version >= 3
                    response = try await connection.send(request)
                } catch {
                    for owner in owners { results[owner] = .failure(error) }
                    continue
                }
                for result in response.results {
                    guard
                        let owner = owners.first(where: {
                            $0.type == result.resourceType && $0.name == result.resourceName
                        })
                    else { continue }
                    results[owner] = .of(
                        ClientError.from(result.errorCode, "\(owner)", message: result.errorMessage),
                        result.configs.map(ConfigurationEntry.init).sorted { $0.name < $1.name })
                }
            }
            return results
        }
    }

    /// All configurations of one owner, by name.
    public func configurations(
        of owner: ConfigurationOwner, withDocumentation: Bool = false
    ) async throws(ClientError) -> [ConfigurationEntry] {
        try await configurations(of: [owner], withDocumentation: withDocumentation).only(owner)
    }

    /// Who has configurations: all topics and brokers (KIP-1142). Throws `unsupportedVersion` for brokers before Kafka 4.1.
    public func configurationOwners() async throws(ClientError) -> [ConfigurationOwner] {
        let cluster = cluster
        let response = try await cluster.retrying { () async throws(ClientError) in
            let connection = try await cluster.connection(.any)
            var request = ListConfigResourcesRequest()
            request.resourceTypes = [ConfigurationOwner.topicType, ConfigurationOwner.brokerType]
            // Version 0 knows of client metrics only.
            guard connection.version(of: ListConfigResourcesRequest.self) ?? 0 >= 1 else {
                throw ClientError(.unsupportedVersion, "\(connection.address) does not list who has configurations")
            }
            let response = try await connection.send(request)
            if let error = ClientError.from(response.errorCode, "configurations") { throw error }
            return response
        }
        return response.configResources.compactMap { resource in
            switch resource.resourceType {
            case ConfigurationOwner.topicType: .topic(resource.resourceName)
            case ConfigurationOwner.brokerType:
                resource.resourceName.isEmpty ? .allBrokers : Int32(resource.resourceName).map { .broker($0) }
            default: nil
            }
        }
    }

    /// Changes configurations of one owner, all or none. Throws `refused`.
    public func changeConfigurations(
        of owner: ConfigurationOwner, _ changes: [ConfigurationChange]
    ) async throws(ClientError) {
        try await changeConfigurations([owner: changes]).only(owner)
    }

    /// Changes configurations, of each owner all or none. With `validateOnly` nothing is changed, but what would fail fails.
    public func changeConfigurations(
        _ changes: [ConfigurationOwner: [ConfigurationChange]], validateOnly: Bool = false
    ) async throws(ClientError) -> Results<ConfigurationOwner, Void> {
        let cluster = cluster
        return try await batched(changes.keys, along: .controller) { open async throws(ClientError) in
            var results: Results<ConfigurationOwner, Void> = [:]
            for (route, owners) in Dictionary(grouping: open, by: Self.route) {
                var request = IncrementalAlterConfigsRequest()
                request.validateOnly = validateOnly
                request.resources = owners.map { owner in
                    var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
                    resource.resourceType = owner.type
                    resource.resourceName = owner.name
                    resource.configs = changes[owner]!.map(\.wire)
                    return resource
                }
                let response: IncrementalAlterConfigsResponse
                do throws(ClientError) {
                    response = try await cluster.connection(route).send(request)
                } catch {
                    for owner in owners { results[owner] = .failure(error) }
                    continue
                }
                for result in response.responses {
                    guard
                        let owner = owners.first(where: {
                            $0.type == result.resourceType && $0.name == result.resourceName
                        })
                    else { continue }
                    results[owner] = .of(
                        ClientError.from(result.errorCode, "\(owner)", message: result.errorMessage), ())
                }
            }
            return results
        }
    }

    private static func route(_ owner: ConfigurationOwner) -> Cluster.Route {
        switch owner {
        case .broker(let id): .node(id)
        case .topic, .allBrokers: .controller
        }
    }
}

extension ConfigurationEntry {
    fileprivate init(_ config: DescribeConfigsResponse.DescribeConfigsResourceResult) {
        name = config.name
        value = config.isSensitive ? nil : config.value
        source = Source(rawValue: config.configSource) ?? .unknown
        isReadOnly = config.readOnly
        isSensitive = config.isSensitive
        documentation = config.documentation
    }
}

extension ConfigurationChange {
    fileprivate var wire: IncrementalAlterConfigsRequest.AlterableConfig {
        var config = IncrementalAlterConfigsRequest.AlterableConfig()
        config.name = name
        switch operation {
        case .set(let value): (config.configOperation, config.value) = (0, value)
        case .reset: (config.configOperation, config.value) = (1, nil)
        case .append(let value): (config.configOperation, config.value) = (2, value)
        case .subtract(let value): (config.configOperation, config.value) = (3, value)
        }
        return config
    }
}
