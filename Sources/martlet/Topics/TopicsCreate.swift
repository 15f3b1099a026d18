import ArgumentParser
import KafkaProtocol
import MartletClient

struct TopicsCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Create a topic.",
        discussion: """
            Records with the same key go to the same partition and stay in order there. Partitions can be added later, \
            which sends keys to other partitions, but never taken away.

              martlet topics create orders --partitions 6
              martlet topics create users --config cleanup.policy=compact --if-not-exists

            `martlet server --help-configs` lists the configurations of topics.
            """)

    @Argument(help: "The topic's name: letters, digits, '.', '_' and '-'.")
    var name: String

    @Option(name: .shortAndLong, help: "How many partitions; without it, as the broker's num.partitions says.")
    var partitions: Int32?

    @Option(name: .shortAndLong, help: "How many brokers keep each partition; without it, as the broker says.")
    var replicationFactor: Int16?

    @Option(name: .shortAndLong, help: ArgumentHelp("A configuration; may be repeated.", valueName: "name=value"))
    var config: [NameValuePair] = []

    @Flag(help: "A topic that exists already is no failure.")
    var ifNotExists = false

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let partitions, partitions < 1 { throw ValidationError("--partitions must be at least 1") }
        if let replicationFactor, replicationFactor < 1 {
            throw ValidationError("--replication-factor must be at least 1")
        }
    }

    func run() async throws {
        try await connection.withCluster { cluster in
            do {
                let topic = try await Admin(cluster: cluster).createTopic(
                    NewTopic(
                        name, partitionCount: partitions, replicationFactor: replicationFactor,
                        configuration: Dictionary(config.map { ($0.name, $0.value) }) { $1 }))
                report(topic)
            } catch let error as ClientError where error.protocolCode == .topicAlreadyExists && ifNotExists {
                if output.json {
                    print(JSONValue.object([.init("name", .string(name)), .init("created", .bool(false))]).text)
                } else {
                    print("Topic \(name) exists already.")
                }
            }
        }
    }

    private func report(_ topic: CreatedTopic) {
        if output.json {
            print(
                JSONValue.object([
                    .init("name", .string(name)), .init("created", .bool(true)), .init("id", .string(topic.id)),
                    .init("partitions", .optional(topic.partitionCount)),
                    .init("replicationFactor", .optional(topic.replicationFactor)),
                ]).text)
            return
        }
        guard let count = topic.partitionCount else { return print("Created topic \(name).") }
        print("Created topic \(name) with \(count) partition\(count == 1 ? "" : "s").")
    }
}
