import ArgumentParser
import MartletClient

struct PerfProduce: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Produce records and report the rate and how long acknowledgements take.",
        discussion: """
              martlet perf produce load --records 5000000 --size 100 --linger 5
              martlet perf produce load --records 30000 --throughput 500 --linger 0 --json

            Of fast runs about 100,000 records have their latency taken; at up to 10,000 a second all have.
            """)

    @Argument(help: "The topic. It must exist.")
    var topic: String

    @Option(name: .shortAndLong, help: "How many records.")
    var records: Int = 1_000_000

    @Option(name: .shortAndLong, help: ArgumentHelp("How long a record's value is.", valueName: "bytes"))
    var size: Int = 100

    @Option(help: ArgumentHelp("Records a second at the most; without it as fast as possible.", valueName: "rate"))
    var throughput: Int?

    @Option(name: .shortAndLong, help: "How batches are compressed.")
    var compression = CompressionName.none

    @Option(name: .shortAndLong, help: "Who must have a record: all in-sync replicas, 1 for the leader, 0 for nobody.")
    var acks: ProducerConfiguration.Acknowledgements = .all

    @Option(help: ArgumentHelp("How long a batch waits for more records, in milliseconds.", valueName: "ms"))
    var linger: Int = 5

    @Option(help: ArgumentHelp("How long a batch grows, in bytes before compression.", valueName: "bytes"))
    var batchSize: Int = 256 * 1024

    @Flag(help: "Print JSON for programs instead of a table for people.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        guard (1...Int(Int32.max)).contains(records) else { throw ValidationError("--records must be at least 1") }
        guard (0...(64 << 20)).contains(size) else { throw ValidationError("--size must be 0 to 67108864") }
        if let throughput, throughput < 1 { throw ValidationError("--throughput must be at least 1") }
        guard (0...60_000).contains(linger) else { throw ValidationError("--linger must be between 0 and 60000") }
        guard (1...(64 << 20)).contains(batchSize) else {
            throw ValidationError("--batch-size must be between 1 and 67108864")
        }
    }

    func run() async throws {
        let command = self
        let report = try await Interruption.cancelling { try await command.measure() }
        report.print(json: json)
        if report.failed > 0 { throw CommandFailure("\(report.failed) records were not written") }
    }

    private func measure() async throws -> PerfReport {
        try await connection.withCluster { cluster in
            // A wrong name is to be known before anything is measured.
            _ = try await cluster.topic(topic)
            var configuration = ProducerConfiguration(bootstrapServers: cluster.bootstrap)
            configuration.clientId = cluster.options.clientId
            configuration.acknowledgements = acks
            configuration.isIdempotent = acks == .all
            configuration.compression = compression.compression
            configuration.linger = .milliseconds(linger)
            configuration.batchSize = batchSize
            configuration.maximumRequestSize = max(configuration.maximumRequestSize, 2 * max(batchSize, size))
            configuration.bufferMemory = max(configuration.bufferMemory, 8 * max(batchSize, size))
            let producer = try Producer(cluster: cluster, configuration: configuration)
            do {
                let report = try await measure(producer)
                await producer.close()
                return report
            } catch {
                await producer.close()
                throw error
            }
        }
    }

    private func measure(_ producer: Producer) async throws -> PerfReport {
        let payloads = PayloadPool(size: size)
        let latencies = LatencyRecorder()
        // Taking the time of every record would be measured too.
        let interval = throughput.map { max(1, $0 / 10_000) } ?? max(1, records / 100_000)
        let progress = ProgressLine(total: records)
        let clock = ContinuousClock()
        let pace = Pace(start: clock.now, rate: throughput)
        try await withThrowingDiscardingTaskGroup { group in
            for index in 0..<records {
                if index & 127 == 0 {
                    try Task.checkCancellation()
                    progress.update(index)
                }
                let due = pace.due(index)
                if let due, due > clock.now {
                    // What is late goes out at once, and what is early by less than the timer's grain too.
                    try await clock.sleep(until: due, tolerance: .zero)
                }
                let start = due ?? clock.now
                let delivery = try await producer.enqueueWaiting(
                    ProducerRecord(topic: topic, value: payloads[index]))
                guard index % interval == 0 else { continue }
                group.addTask {
                    do throws(ClientError) {
                        _ = try await delivery.metadata
                        latencies.record(clock.now - start)
                    } catch {
                        // The producer's report counts and names it.
                    }
                }
            }
            try await producer.flush()
        }
        let elapsed = clock.now - pace.start
        progress.finish(records)
        let outcome = producer.report
        if outcome.acknowledged == 0, let failure = outcome.failure { throw failure }
        return PerfReport(
            records: outcome.acknowledged, bytes: outcome.acknowledged * size, seconds: elapsed / .seconds(1),
            failed: outcome.failed, latency: latencies.summary, latencyName: "acknowledged")
    }
}
