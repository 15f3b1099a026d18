import ArgumentParser
import MartletClient

struct TopicsDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show topics' partitions, replicas and the configurations that are set.",
        discussion: """
            LEADER is the broker that takes records, ISR are the replicas that have all that is acknowledged. Without a \
            name all topics are described.

              martlet topics describe orders
            """)

    @Argument(help: "Topics; without any, all but the brokers' own.")
    var names: [String] = []

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let described = try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            var topics: [TopicDescription] = []
            if names.isEmpty {
                topics = try await administrator.topics()
            } else {
                let found = try await administrator.describeTopics(names)
                topics = try names.map { try found[$0]!.get() }
            }
            let entries = try await administrator.configurations(of: topics.map { .topic($0.name) })
            return try topics.map { topic in
                (topic: topic, configurations: try entries[.topic(topic.name)]!.get().filter { $0.source == .topic })
            }
        }
        if output.json {
            print(JSONValue.array(described.map { json($0.topic, $0.configurations) }).documentText)
        } else if described.isEmpty {
            Terminal.note("There are no topics; create one with 'martlet topics create NAME'.")
        } else {
            print(described.map { text($0.topic, $0.configurations) }.joined(separator: "\n"), terminator: "")
        }
    }

    private func json(_ topic: TopicDescription, _ configurations: [ConfigurationEntry]) -> JSONValue {
        .object([
            .init("name", .string(topic.name)), .init("id", .string(topic.id)),
            .init("internal", .bool(topic.isInternal)),
            .init("configs", .object(configurations.map { .init($0.name, .optional($0.value)) })),
            .init(
                "partitions",
                .array(
                    topic.partitions.map { partition in
                        .object([
                            .init("partition", .number(partition.number)),
                            .init("leader", .optional(partition.leader)),
                            .init("leaderEpoch", .number(partition.leaderEpoch)),
                            .init("replicas", .array(partition.replicas.map { .number($0) })),
                            .init("isr", .array(partition.inSyncReplicas.map { .number($0) })),
                            .init("offline", .array(partition.offlineReplicas.map { .number($0) })),
                        ])
                    })),
        ])
    }

    private func text(_ topic: TopicDescription, _ configurations: [ConfigurationEntry]) -> String {
        var text = "Topic: \(topic.name)\n"
        text += "Id: \(topic.id)\n"
        text += "Partitions: \(topic.partitions.count)\n"
        text += "Replication factor: \(topic.partitions.first?.replicas.count ?? 0)\n"
        let set = configurations.map { "\($0.name)=\($0.value ?? "(hidden)")" }
        text += "Configs: \(set.isEmpty ? "none set" : set.joined(separator: ", "))\n"
        let table = TextTable(
            [.number("PARTITION"), .number("LEADER"), .number("EPOCH"), .text("REPLICAS"), .text("ISR")],
            topic.partitions.map { partition in
                [
                    "\(partition.number)", partition.leader.map { "\($0)" } ?? "none", "\(partition.leaderEpoch)",
                    list(partition.replicas), list(partition.inSyncReplicas),
                ]
            })
        return text + table.render(styled: Terminal.usesColour)
    }

    private func list(_ ids: [Int32]) -> String {
        ids.isEmpty ? "none" : ids.map { "\($0)" }.joined(separator: ",")
    }
}
