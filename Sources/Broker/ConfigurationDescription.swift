import Configuration
import KafkaProtocol

/// Where a configuration's value comes from, by the protocol's numbers.
enum ConfigurationSource: Int8 {
    case topic = 1
    case dynamicBroker = 2
    case dynamicDefaultBroker = 3
    case staticBroker = 4
    case defaultValue = 5
}

/// A configuration as DescribeConfigs tells it: the value that holds, where it comes from, and what stands behind it.
struct ConfigurationDescription {
    struct Synonym {
        var name: String
        var value: String?
        var source: ConfigurationSource
    }

    var definition: ConfigurationDefinition
    /// The first is the one that holds.
    var synonyms: [Synonym]

    var value: String? { synonyms.first?.value }
    var source: ConfigurationSource { synonyms.first?.source ?? .defaultValue }

    static func topic(
        _ definition: ConfigurationDefinition, _ values: ConfigurationValues, _ layers: BrokerConfigurationLayers
    ) -> ConfigurationDescription {
        var synonyms: [Synonym] = []
        if let value = values[definition.name] {
            synonyms.append(Synonym(name: definition.name, value: value, source: .topic))
        }
        if let name = definition.brokerName, let broker = BrokerConfigurations.byName[name] {
            synonyms += layers.synonyms(of: broker).filter { $0.source != .defaultValue }
            let fallback = layers.fixed.topicDefault(definition)
            if fallback.isSet && layers.fixed.values[name] == nil {
                // An older name of the broker's (hours, minutes) decides.
                synonyms.append(Synonym(name: name, value: fallback.value, source: .staticBroker))
            }
        }
        synonyms.append(Synonym(name: definition.name, value: definition.defaultValue, source: .defaultValue))
        return ConfigurationDescription(definition: definition, synonyms: synonyms)
    }

    static func broker(
        _ definition: ConfigurationDefinition, _ layers: BrokerConfigurationLayers
    ) -> ConfigurationDescription {
        ConfigurationDescription(definition: definition, synonyms: layers.synonyms(of: definition))
    }
}

/// A broker's configuration in its layers, the strongest first: changed at run time for this broker, changed for all
/// brokers, and what the broker was started with.
struct BrokerConfigurationLayers: Sendable {
    var dynamic: ConfigurationValues
    var dynamicDefault: ConfigurationValues
    var fixed: BrokerConfiguration

    /// All layers as one.
    var effective: BrokerConfiguration {
        var values = fixed.values
        for layer in [dynamicDefault, dynamic] {
            for (name, value) in layer.explicit {
                do {
                    try values.set(name, to: value, in: BrokerConfigurations.byName)
                } catch {
                    preconditionFailure("values are checked before they are stored: \(error)")
                }
            }
        }
        return BrokerConfiguration(values)
    }

    func synonyms(of definition: ConfigurationDefinition) -> [ConfigurationDescription.Synonym] {
        let name = definition.name
        var synonyms: [ConfigurationDescription.Synonym] = []
        if let value = dynamic[name] { synonyms.append(.init(name: name, value: value, source: .dynamicBroker)) }
        if let value = dynamicDefault[name] {
            synonyms.append(.init(name: name, value: value, source: .dynamicDefaultBroker))
        }
        if let value = fixed.values[name] { synonyms.append(.init(name: name, value: value, source: .staticBroker)) }
        synonyms.append(.init(name: name, value: definition.defaultValue, source: .defaultValue))
        return synonyms
    }
}
