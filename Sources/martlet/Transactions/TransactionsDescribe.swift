import ArgumentParser
import MartletClient

struct TransactionsDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a transactional id's state and the partitions of its transaction.",
        discussion: """
              martlet transactions describe billing-1
            """)

    @Argument(help: "The transactional id.")
    var transactionalId: String

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let transaction = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).describeTransaction(transactionalId)
        }
        if output.json {
            print(json(transaction).text)
        } else {
            print(text(transaction), terminator: "")
        }
    }

    private func json(_ transaction: DescribedTransaction) -> JSONValue {
        .object([
            .init("transactionalId", .string(transaction.transactionalId)),
            .init("state", .string(transaction.state)), .init("producerId", .number(transaction.producerId)),
            .init("producerEpoch", .number(transaction.producerEpoch)),
            .init("timeoutMilliseconds", .number(transaction.timeoutMilliseconds)),
            .init("startTime", .optional(transaction.startTime)),
            .init(
                "partitions",
                .array(
                    transaction.partitions.map {
                        .object([.init("topic", .string($0.topic)), .init("partition", .number($0.partition))])
                    })),
        ])
    }

    private func text(_ transaction: DescribedTransaction) -> String {
        var text = """
            Transactional id: \(transaction.transactionalId)
            State: \(transaction.state)
            Producer: \(transaction.producerId), epoch \(transaction.producerEpoch)
            Time-out: \(transaction.timeoutMilliseconds) ms

            """
        if let start = transaction.startTime {
            text += "Open since: \(PointInTime(milliseconds: start).text)\n"
        }
        if !transaction.partitions.isEmpty {
            text += TextTable(
                [.text("TOPIC"), .number("PARTITION")],
                transaction.partitions.map { [$0.topic, "\($0.partition)"] }
            ).render(styled: Terminal.usesColour)
        }
        return text
    }
}
