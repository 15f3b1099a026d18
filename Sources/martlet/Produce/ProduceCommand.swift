import ArgumentParser
import Foundation
import MartletClient
import RecordFormat

struct ProduceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Produce records, one a line of standard input or of a file.",
        discussion: """
            Records with the same key go to the same partition, as with Kafka's own producer.

              echo "hello" | martlet produce greetings
              printf 'ann:21\\nbob:34\\n' | martlet produce ages --key-separator :
              martlet produce greetings --file lines.txt --header source=import
              martlet consume a --from-beginning --exit --json | martlet produce b --json

            A line with --json is an object with value and, as needed, key, headers, partition and timestamp; \
            "value":null is a tombstone. The command fails when a record could not be written.
            """)

    @Argument(help: "The topic.")
    var topic: String

    @Option(name: .shortAndLong, help: "A file with the records instead of standard input.")
    var file: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "What stands between key and value; \\t is a tab. Without it there are no keys.", valueName: "text"))
    var keySeparator: Separator?

    @Flag(help: "Each line starts with headers, name=value,name=value, and a tab.")
    var headers = false

    @Option(
        name: .customLong("header"),
        help: ArgumentHelp("A header of all records; may be repeated.", valueName: "name=value"))
    var header: [NameValuePair] = []

    @Flag(help: "Lines are JSON objects.")
    var json = false

    @Option(name: .shortAndLong, help: "The partition of all records; without it the key decides.")
    var partition: Int32?

    @Option(name: .shortAndLong, help: "How batches are compressed.")
    var compression = CompressionName.none

    @Option(name: .shortAndLong, help: "Who must have a record: all in-sync replicas, 1 for the leader, 0 for nobody.")
    var acks: ProducerConfiguration.Acknowledgements = .all

    @Option(help: ArgumentHelp("How long a batch waits for more records, in milliseconds.", valueName: "ms"))
    var linger: Int = 5

    @Option(help: ArgumentHelp("How long a batch grows, in bytes before compression.", valueName: "bytes"))
    var batchSize: Int = 256 * 1024

    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if json && (keySeparator != nil || headers) {
            throw ValidationError("--json lines carry their own keys and headers: leave the other options out")
        }
        if let partition, partition < 0 { throw ValidationError("--partition must be at least 0") }
        guard (0...60_000).contains(linger) else { throw ValidationError("--linger must be between 0 and 60000") }
        guard (1...(64 << 20)).contains(batchSize) else {
            throw ValidationError("--batch-size must be between 1 and 67108864")
        }
    }

    func run() async throws {
        let input = try InputReader(path: file)
        if file == nil && Terminal.inputIsTerminal && Terminal.errorIsTerminal {
            Terminal.note("Write records, one a line; Ctrl-D ends.")
        }
        let command = self
        let report = try await Interruption.cancelling {
            try await command.produce(input)
        }
        if let failure = report.failure {
            let total = report.failed + report.acknowledged
            throw CommandFailure("\(report.failed) of \(total) records were not written: \(failure)")
        }
    }

    /// Ctrl-C ends the input; what was read before is written.
    private func produce(_ input: InputReader) async throws -> Producer.Report {
        try await connection.withCluster { cluster in
            // A wrong name is to be known before the first line is read.
            _ = try await cluster.topic(topic)
            let producer = try Producer(cluster: cluster, configuration: configuration(for: cluster))
            do {
                try await produce(input, producer)
            } catch {
                await Self.finish(producer)
                throw error
            }
            await Self.finish(producer)
            return producer.report
        }
    }

    /// Writes what was read, even when the task is cancelled, which ended the input.
    private static func finish(_ producer: Producer) async {
        await Task { await producer.close() }.value
    }

    private func configuration(for cluster: Cluster) -> ProducerConfiguration {
        var configuration = ProducerConfiguration(bootstrapServers: cluster.bootstrap)
        configuration.clientId = cluster.options.clientId
        configuration.acknowledgements = acks
        configuration.isIdempotent = acks == .all
        configuration.compression = compression.compression
        configuration.linger = .milliseconds(linger)
        configuration.batchSize = batchSize
        // A batch of the size that was asked for must fit into a request.
        configuration.maximumRequestSize = max(configuration.maximumRequestSize, 2 * batchSize)
        configuration.bufferMemory = max(configuration.bufferMemory, 4 * batchSize)
        return configuration
    }

    private func produce(_ input: InputReader, _ producer: Producer) async throws {
        let reader = InputLineReader(
            topic: topic, format: json ? .json : .text(keySeparator: keySeparator?.bytes, hasHeaders: headers),
            partition: partition, headers: header.map { Header(key: $0.name, value: Array($0.value.utf8)) })
        let progress = ProgressLine(isVisible: Terminal.errorIsTerminal && !Terminal.inputIsTerminal)
        var splitter = LineSplitter()
        var count = 0
        while let piece = try await input.next() {
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            var records: [ProducerRecord] = []
            var failure: CommandFailure?
            splitter.feed(piece) { line in
                guard failure == nil else { return }
                do throws(CommandFailure) {
                    records.append(try reader.record(line, number: count + records.count + 1, now: now))
                } catch {
                    failure = error
                }
            }
            count += records.count
            for record in records { try await producer.enqueueWaiting(record) }
            if let failure { throw failure }
            if let failure = producer.report.failure, !failure.isRetriable { return }
            progress.update(count)
        }
        if let last = splitter.finish() {
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            try await producer.enqueueWaiting(reader.record(last[...], number: count + 1, now: now))
            count += 1
        }
        try await producer.flush()
        progress.finish(count)
    }
}
