import ArgumentParser
import MartletClient

struct TransactionsList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the transactional ids of all brokers.",
        discussion: """
            A state is Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit or CompleteAbort.

              martlet transactions list --state Ongoing --longer-than PT5M
            """)

    @Option(help: ArgumentHelp("Only those in this state; may be repeated.", valueName: "state"))
    var state: [String] = []

    @Option(help: ArgumentHelp("Only that of this producer; may be repeated.", valueName: "id"))
    var producerId: [Int64] = []

    @Option(help: "Only transactions that are open for longer, such as PT5M.")
    var longerThan: TimeSpan?

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let transactions = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).transactions(
                states: state, producerIds: producerId, minimumDuration: longerThan?.milliseconds)
        }
        output.print(
            transactions.map { transaction in
                .object([
                    .init("transactionalId", .string(transaction.transactionalId)),
                    .init("coordinator", .number(transaction.coordinator)),
                    .init("producerId", .number(transaction.producerId)), .init("state", .string(transaction.state)),
                ])
            },
            table: TextTable(
                [.text("TRANSACTIONAL-ID"), .number("COORDINATOR"), .number("PRODUCER-ID"), .text("STATE")],
                transactions.map { [$0.transactionalId, "\($0.coordinator)", "\($0.producerId)", $0.state] }),
            none: "There are no such transactions.")
    }
}
