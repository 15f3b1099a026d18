import ArgumentParser
import MartletClient

struct TopicsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the topics.",
        discussion: """
            Topics that brokers make for themselves are listed with --internal only:

              martlet topics list --internal
              martlet topics list --json
            """)

    @Flag(help: "Also list the brokers' own topics.")
    var `internal` = false

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let topics = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).topics(includingInternal: `internal`)
        }
        output.print(
            topics.map { topic in
                .object([
                    .init("name", .string(topic.name)), .init("id", .string(topic.id)),
                    .init("partitions", .number(topic.partitions.count)),
                    .init("replicationFactor", .number(topic.partitions.first?.replicas.count ?? 0)),
                    .init("internal", .bool(topic.isInternal)),
                ])
            },
            table: TextTable(
                [.text("TOPIC"), .number("PARTITIONS"), .number("REPLICAS")],
                topics.map { topic in
                    [topic.name, "\(topic.partitions.count)", "\(topic.partitions.first?.replicas.count ?? 0)"]
                }),
            none: "There are no topics; create one with 'martlet topics create NAME'.")
    }
}
