import ArgumentParser
import MartletClient

struct TopicsAlter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alter",
        abstract: "Give a topic more partitions, or change its configurations.",
        discussion: """
            More partitions send keys to other partitions than before; the records that are there stay where they are.

              martlet topics alter orders --partitions 12
              martlet topics alter orders --config retention.ms=86400000
              martlet topics alter orders --delete-config retention.ms
            """)

    @Argument(help: "The topic.")
    var name: String

    @Option(name: .shortAndLong, help: "The new number of partitions, larger than the old one.")
    var partitions: Int32?

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Set a configuration; may be repeated.", valueName: "name=value"))
    var config: [NameValuePair] = []

    @Option(help: ArgumentHelp("Go back to a configuration's default; may be repeated.", valueName: "name"))
    var deleteConfig: [String] = []

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if partitions == nil && config.isEmpty && deleteConfig.isEmpty {
            throw ValidationError("Say what to change: --partitions, --config or --delete-config")
        }
        if let partitions, partitions < 1 { throw ValidationError("--partitions must be at least 1") }
    }

    func run() async throws {
        try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            let changes =
                config.map { ConfigurationChange($0.name, .set($0.value)) }
                + deleteConfig.map { ConfigurationChange($0, .reset) }
            if !changes.isEmpty { try await administrator.changeConfigurations(of: .topic(name), changes) }
            if let partitions { try await administrator.createPartitions([name: partitions])[name]?.get() }
        }
        if output.json {
            print(JSONValue.object([.init("name", .string(name)), .init("changed", .bool(true))]).text)
        } else {
            print("Changed topic \(name).")
        }
    }
}
