import ArgumentParser
import MartletClient

struct GroupsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the groups of all brokers.",
        discussion: """
            A group is Stable while its members read, Empty when it has none and only its offsets are left.

              martlet groups list
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let groups = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).groups()
        }
        output.print(
            groups.map { group in
                .object([
                    .init("group", .string(group.id)), .init("state", .string(group.state)),
                    .init("type", .string(group.type)), .init("protocolType", .string(group.protocolType)),
                ])
            },
            table: TextTable(
                [.text("GROUP"), .text("STATE"), .text("TYPE")],
                groups.map { [$0.id, $0.state, $0.type] }),
            none: "There are no groups; 'martlet consume TOPIC --group NAME' makes one.")
    }
}
