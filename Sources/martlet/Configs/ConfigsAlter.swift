import ArgumentParser
import MartletClient

struct ConfigsAlter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alter",
        abstract: "Set configurations, or go back to their defaults.",
        discussion: """
            All changes of one call are made together or not at all.

              martlet configs alter topics orders --set retention.ms=86400000
              martlet configs alter topics orders --delete retention.ms
            """)

    @OptionGroup var target: ConfigurationOwnerArguments

    @Option(
        name: [.customShort("s"), .customLong("set")],
        help: ArgumentHelp("Set a configuration; may be repeated.", valueName: "name=value"))
    var set: [NameValuePair] = []

    @Option(help: ArgumentHelp("Go back to the default; may be repeated.", valueName: "name"))
    var delete: [String] = []

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if set.isEmpty && delete.isEmpty { throw ValidationError("Say what to change: --set or --delete") }
    }

    func run() async throws {
        try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).changeConfigurations(
                of: target.owner,
                set.map { ConfigurationChange($0.name, .set($0.value)) }
                    + delete.map { ConfigurationChange($0, .reset) })
        }
        if output.json {
            print(JSONValue.object([.init("name", .string(target.name)), .init("changed", .bool(true))]).text)
        } else {
            print("Changed the configuration of \(target.owner).")
        }
    }
}
