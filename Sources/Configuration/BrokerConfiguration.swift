/// A broker's configuration: what was set, over the defaults. Reading a name that is not declared is a programming error.
package struct BrokerConfiguration: Sendable {
    package var values: ConfigurationValues

    package init(_ values: ConfigurationValues = ConfigurationValues()) {
        self.values = values
    }

    /// From a properties file's text and `name=value` pairs, which stand before it. Errors are one line.
    package init(
        propertiesText: String?, fileName: String = "", overrides: [String]
    ) throws(ConfigurationError) {
        var values = ConfigurationValues()
        if let propertiesText {
            let entries: [Properties.Entry]
            do {
                entries = try Properties.parse(propertiesText)
            } catch {
                throw ConfigurationError("\(fileName): \(error)")
            }
            for entry in entries {
                do {
                    try values.set(entry.name, to: entry.value, in: BrokerConfigurations.byName)
                } catch {
                    throw ConfigurationError("\(fileName), line \(entry.line): \(error)")
                }
            }
        }
        for pair in overrides {
            guard let separator = pair.firstIndex(of: "=") else {
                throw ConfigurationError("--set \(pair): expected name=value")
            }
            try values.set(
                String(pair[..<separator]), to: String(pair[pair.index(after: separator)...]),
                in: BrokerConfigurations.byName)
        }
        self.init(values)
    }

    // MARK: Typed reading

    /// The value that was set, or the default; nil when there is neither.
    package func optional(_ name: String) -> String? {
        guard let definition = BrokerConfigurations.byName[name] else {
            preconditionFailure("\(name) is not declared")
        }
        return values[name] ?? definition.defaultValue
    }

    package func string(_ name: String) -> String { optional(name)! }
    package func int(_ name: String) -> Int { Int(string(name))! }
    package func long(_ name: String) -> Int64 { Int64(string(name))! }
    package func double(_ name: String) -> Double { Double(string(name))! }
    package func bool(_ name: String) -> Bool { string(name).lowercased() == "true" }
    package func list(_ name: String) -> [String] { optional(name).map(ConfigurationType.elements(of:)) ?? [] }

    // MARK: What more than one name decides

    package var nodeId: Int32 {
        let old = int("broker.id")
        return Int32(values["node.id"] == nil && old >= 0 ? old : int("node.id"))
    }

    package var dataDirectory: String {
        list("log.dirs").first ?? string("log.dir")
    }

    /// Names that were set and have no effect here, with the reason; the server warns of them once.
    package var withoutEffect: [(name: String, reason: String)] {
        values.explicit.keys.sorted().compactMap { name in
            BrokerConfigurations.byName[name]?.withoutEffect.map { (name, $0) }
        }
    }

    /// The default of a topic configuration on this broker, and whether the broker's configuration sets it.
    package func topicDefault(_ definition: ConfigurationDefinition) -> (value: String, isSet: Bool) {
        let fallback = definition.defaultValue ?? ""
        guard let name = definition.brokerName else { return (fallback, false) }
        if let value = values[name] { return (value, true) }
        // Older names, the finer unit first.
        switch name {
        case "log.retention.ms":
            if values["log.retention.minutes"] != nil { return (milliseconds("log.retention.minutes", 60_000), true) }
            return (milliseconds("log.retention.hours", 3_600_000), values["log.retention.hours"] != nil)
        case "log.roll.ms":
            return (milliseconds("log.roll.hours", 3_600_000), values["log.roll.hours"] != nil)
        case "log.roll.jitter.ms":
            return (milliseconds("log.roll.jitter.hours", 3_600_000), values["log.roll.jitter.hours"] != nil)
        default:
            return (fallback, false)
        }
    }

    private func milliseconds(_ name: String, _ unit: Int) -> String {
        let value = int(name)
        return value < 0 ? "-1" : "\(value * unit)"
    }
}

/// A topic's configuration: what the topic sets, over the broker's defaults.
package struct TopicConfiguration: Sendable {
    package let values: ConfigurationValues
    private let broker: BrokerConfiguration

    package init(_ values: ConfigurationValues, broker: BrokerConfiguration) {
        self.values = values
        self.broker = broker
    }

    package func string(_ name: String) -> String {
        guard let definition = TopicConfigurations.byName[name] else {
            preconditionFailure("\(name) is not declared")
        }
        return values[name] ?? broker.topicDefault(definition).value
    }

    package func int(_ name: String) -> Int { Int(string(name))! }
    package func long(_ name: String) -> Int64 { Int64(string(name))! }
    package func double(_ name: String) -> Double { Double(string(name))! }
    package func bool(_ name: String) -> Bool { string(name).lowercased() == "true" }
    package func list(_ name: String) -> [String] { ConfigurationType.elements(of: string(name)) }
}
