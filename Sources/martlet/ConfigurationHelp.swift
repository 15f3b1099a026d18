import Configuration

/// The list of configurations for people, from their declarations.
enum ConfigurationHelp {
    static var text: String {
        """
        Configurations of a node, in a properties file or with --set name=value:

        \(list(BrokerConfigurations.all))

        Configurations of a topic (martlet topics create --config, martlet configs):

        \(list(TopicConfigurations.all))
        """
    }

    private static func list(_ definitions: [ConfigurationDefinition]) -> String {
        definitions.sorted { $0.name < $1.name }.map { definition in
            var text = "  \(definition.name) (\(definition.type.name), default \(definition.defaultValue ?? "none"))\n"
            text += "      \(definition.summary)"
            if let departure = definition.departure { text += "\n      Not Kafka's default: \(departure)" }
            return text
        }.joined(separator: "\n")
    }
}
