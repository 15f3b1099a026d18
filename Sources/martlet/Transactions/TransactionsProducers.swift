import ArgumentParser
import MartletClient

struct TransactionsProducers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe-producers",
        abstract: "Show the producers that a partition remembers, and their open transactions.",
        discussion: """
              martlet transactions describe-producers --topic orders --partition 3
            """)

    @Option(help: "The topic.")
    var topic: String

    @Option(help: "The partition.")
    var partition: Int32

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let producers = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).producers(of: [TopicPartition(topic, partition)])
        }
        output.print(
            producers.map { ProducerRow($0).json }, table: ProducerRow.table(producers),
            none: "The partition remembers no producers.")
    }
}

/// A partition's producer as commands print it.
struct ProducerRow {
    private let producer: PartitionProducer

    init(_ producer: PartitionProducer) {
        self.producer = producer
    }

    var json: JSONValue {
        .object([
            .init("topic", .string(producer.partition.topic)),
            .init("partition", .number(producer.partition.partition)),
            .init("producerId", .number(producer.producerId)),
            .init("producerEpoch", .number(producer.producerEpoch)),
            .init("coordinatorEpoch", .number(producer.coordinatorEpoch)),
            .init("lastSequence", .number(producer.lastSequence)),
            .init("lastTimestamp", .number(producer.lastTimestamp)),
            .init("transactionStart", .optional(producer.transactionStart)),
        ])
    }

    static func table(_ producers: [PartitionProducer]) -> TextTable {
        TextTable(
            [
                .text("TOPIC"), .number("PARTITION"), .number("PRODUCER-ID"), .number("EPOCH"),
                .number("COORDINATOR-EPOCH"), .number("LAST-SEQUENCE"), .text("LAST-TIME"),
                .number("OPEN-SINCE-OFFSET"),
            ],
            producers.map { producer in
                [
                    producer.partition.topic, "\(producer.partition.partition)", "\(producer.producerId)",
                    "\(producer.producerEpoch)", "\(producer.coordinatorEpoch)", "\(producer.lastSequence)",
                    PointInTime(milliseconds: producer.lastTimestamp).text,
                    producer.transactionStart.map { "\($0)" } ?? "-",
                ]
            })
    }
}
