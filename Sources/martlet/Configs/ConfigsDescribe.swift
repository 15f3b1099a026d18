import ArgumentParser
import MartletClient

struct ConfigsDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show what is set; with --all also the defaults, with what each means.",
        discussion: """
              martlet configs describe topics orders
              martlet configs describe brokers 1 --all
            """)

    @OptionGroup var target: ConfigurationOwnerArguments

    @Flag(name: .shortAndLong, help: "Also show configurations at their default.")
    var all = false

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let entries = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).configurations(of: target.owner, withDocumentation: all)
                .filter { all || isSet($0) }
        }
        var columns: [TextTable.Column] = [.text("CONFIG"), .text("VALUE"), .text("FROM")]
        if all { columns.append(.text("MEANING")) }
        output.print(
            entries.map { entry in
                .object([
                    .init("name", .string(entry.name)), .init("value", .optional(entry.value)),
                    .init("source", .string(entry.source.description)), .init("readOnly", .bool(entry.isReadOnly)),
                    .init("sensitive", .bool(entry.isSensitive)),
                    .init("documentation", .optional(entry.documentation)),
                ])
            },
            table: TextTable(
                columns,
                entries.map { entry in
                    let value = entry.isSensitive ? "(hidden)" : entry.value ?? ""
                    let cells = [entry.name, value, entry.source.description]
                    return all ? cells + [entry.documentation ?? ""] : cells
                }),
            none: "Nothing is set for \(target.owner); --all shows the defaults.")
    }

    /// Set by somebody for this topic or broker, not inherited.
    private func isSet(_ entry: ConfigurationEntry) -> Bool {
        switch target.owner {
        case .topic: entry.source == .topic
        case .broker, .allBrokers: [.broker, .allBrokers, .brokerFile].contains(entry.source)
        }
    }
}
