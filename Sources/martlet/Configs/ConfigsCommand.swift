import ArgumentParser
import MartletClient

struct ConfigsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "configs",
        abstract: "Show and change configurations of topics and brokers.",
        discussion: """
            Configurations have Kafka's names.

              martlet configs describe topics orders --all
              martlet configs alter topics orders --set retention.ms=86400000
              martlet configs describe brokers 1
            """,
        subcommands: [ConfigsDescribe.self, ConfigsAlter.self])
}

/// Whose configurations: a kind and a name.
struct ConfigurationOwnerArguments: ParsableArguments {
    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case topics
        case brokers
    }

    @Argument(help: "What kind of thing.")
    var kind: Kind

    @Argument(help: "The topic's name, or the broker's id ('default' for all brokers).")
    var name: String

    func validate() throws {
        if kind == .brokers && name != "default" && Int32(name) == nil {
            throw ValidationError("'\(name)' is not a broker's id: write a number or 'default'")
        }
    }

    var owner: ConfigurationOwner {
        switch kind {
        case .topics: .topic(name)
        case .brokers: Int32(name).map { .broker($0) } ?? .allBrokers
        }
    }
}
