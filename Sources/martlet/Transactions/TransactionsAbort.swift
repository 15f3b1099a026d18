import ArgumentParser
import MartletClient

struct TransactionsAbort: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "abort",
        abstract: "Abort a transaction that hangs in a partition.",
        discussion: """
            Only for transactions that 'martlet transactions find-hanging' tells of: aborting one that is alive tears it.
            The transaction is named by the offset of its first record:

              martlet transactions abort --topic orders --partition 3 --start-offset 1200
            """)

    @Option(help: "The topic.")
    var topic: String

    @Option(help: "The partition.")
    var partition: Int32

    @Option(help: "Where the transaction begins.")
    var startOffset: Int64

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let place = TopicPartition(topic, partition)
        let aborted = try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            let producers = try await administrator.producers(of: [place])
            guard let producer = producers.first(where: { $0.transactionStart == startOffset }) else {
                let starts = producers.compactMap(\.transactionStart).sorted().map { "\($0)" }
                throw CommandFailure(
                    "no open transaction of \(place) begins at offset \(startOffset); "
                        + (starts.isEmpty ? "none is open" : "open ones begin at \(starts.joined(separator: ", "))"))
            }
            try await administrator.abortTransaction(producer)
            return producer
        }
        if output.json {
            print(ProducerRow(aborted).json.text)
        } else {
            print("Aborted the transaction of producer \(aborted.producerId) in \(place).")
        }
    }
}
