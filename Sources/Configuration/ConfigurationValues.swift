/// Values that were set for some configurations, each checked against its definition.
package struct ConfigurationValues: Sendable, Equatable {
    package private(set) var explicit: [String: String] = [:]

    package init() {}

    /// Sets a value after checking name and value.
    package mutating func set(
        _ name: String, to value: String, in definitions: [String: ConfigurationDefinition]
    ) throws(ConfigurationError) {
        guard let definition = definitions[name] else {
            throw ConfigurationError.unknownName(name, among: definitions.keys)
        }
        if let objection = definition.type.objection(to: value) {
            throw ConfigurationError("\(name)=\(value): \(objection)")
        }
        explicit[name] = value
    }

    package mutating func remove(_ name: String) {
        explicit[name] = nil
    }

    package subscript(_ name: String) -> String? { explicit[name] }
}
