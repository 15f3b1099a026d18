import ArgumentParser
import Foundation
import MartletClient

struct TransactionsFindHanging: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "find-hanging",
        abstract: "Find transactions that no coordinator will end.",
        discussion: """
            Looks at all topics, or at one. A transaction hangs when it is open in a partition for longer than the longest
            time-out a producer may ask for, and its coordinator knows nothing of it.

              martlet transactions find-hanging --topic orders
            """)

    @Option(help: "Only this topic.")
    var topic: String?

    @Option(help: "Only this partition of the topic.")
    var partition: Int32?

    @Option(help: "How long a transaction may be open; the broker's transaction.max.timeout.ms, such as PT15M.")
    var maxTransactionTimeout = TimeSpan(argument: "PT15M")!

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if partition != nil && topic == nil { throw ValidationError("--partition needs --topic.") }
    }

    func run() async throws {
        let hanging = try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            let partitions: [TopicPartition]
            if let topic, let partition {
                partitions = [TopicPartition(topic, partition)]
            } else {
                let topics = try await administrator.topics(includingInternal: true).filter {
                    topic == nil || $0.name == topic
                }
                if let topic, topics.isEmpty { throw CommandFailure("there is no topic '\(topic)'") }
                partitions = topics.flatMap { topic in topic.partitions.map { TopicPartition(topic.name, $0.number) } }
            }
            return try await administrator.hangingTransactions(
                in: partitions, olderThan: maxTransactionTimeout.milliseconds,
                now: Int64(Date().timeIntervalSince1970 * 1000))
        }
        output.print(
            hanging.map { ProducerRow($0.producer).json }, table: ProducerRow.table(hanging.map(\.producer)),
            none: "No transaction hangs.")
        if !hanging.isEmpty && !output.json {
            Terminal.note(
                "End one with 'martlet transactions abort --topic TOPIC --partition PARTITION --start-offset OFFSET'.")
        }
    }
}
