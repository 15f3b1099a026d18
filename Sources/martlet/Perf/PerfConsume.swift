import ArgumentParser
import MartletClient

struct PerfConsume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Consume records and report the rate.",
        discussion: """
            Reads all partitions from their beginning, in batches, without a group. Time runs from the first batch on.

              martlet perf consume load --records 5000000
              martlet perf consume load --wait 2000 --json
            """)

    @Argument(help: "The topic.")
    var topic: String

    @Option(name: .shortAndLong, help: "How many records at the most; without it until no more come.")
    var records: Int?

    @Option(help: ArgumentHelp("End when nothing has come for so long, in milliseconds.", valueName: "ms"))
    var wait: Int = 5000

    @Option(help: ArgumentHelp("How many fetched bytes may wait.", valueName: "bytes"))
    var prefetch: Int = 64 << 20

    @Flag(help: "Only records of committed transactions.")
    var readCommitted = false

    @Flag(help: "Print JSON for programs instead of a table for people.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if let records, records < 1 { throw ValidationError("--records must be at least 1") }
        guard (1...3_600_000).contains(wait) else { throw ValidationError("--wait must be 1 to 3600000 milliseconds") }
        guard (1024...(64 << 30)).contains(prefetch) else {
            throw ValidationError("--prefetch must be 1 KiB to 64 GiB")
        }
    }

    func run() async throws {
        let command = self
        try await Interruption.cancelling { try await command.measure() }.print(json: json)
    }

    private func measure() async throws -> PerfReport {
        try await connection.withCluster { cluster in
            let count = try await cluster.topic(topic).partitions.count
            var configuration = ConsumerConfiguration(bootstrapServers: cluster.bootstrap)
            configuration.clientId = cluster.options.clientId
            configuration.prefetchMemory = prefetch
            configuration.isolationLevel = readCommitted ? .readCommitted : .readUncommitted
            let consumer = try Consumer(cluster: cluster, configuration: configuration)
            try consumer.assign(
                Dictionary(
                    uniqueKeysWithValues: (0..<count).map { (TopicPartition(topic, Int32($0)), .beginning) }))
            do {
                let report = try await measure(consumer)
                await consumer.close()
                return report
            } catch {
                await consumer.close()
                throw error
            }
        }
    }

    private func measure(_ consumer: Consumer) async throws -> PerfReport {
        let progress = ProgressLine(total: records)
        let clock = ContinuousClock()
        var (count, bytes) = (0, 0)
        // What the first batch took is mostly the connection, and there is no telling how long it was waiting.
        var first: (time: ContinuousClock.Instant, count: Int, bytes: Int)?
        var last = clock.now
        while count < records ?? .max {
            let batches = try await consumer.nextBatches(limit: 1, timeout: .milliseconds(wait))
            try Task.checkCancellation()
            guard !batches.isEmpty else { break }
            for batch in batches {
                for record in batch { bytes += (record.key?.count ?? 0) + (record.value?.count ?? 0) }
                count += batch.count
            }
            last = clock.now
            if first == nil { first = (last, count, bytes) }
            progress.update(count)
        }
        progress.finish(count)
        guard let first else { throw CommandFailure("topic '\(topic)' has no records that can be read") }
        // All in the first batch: there is nothing to divide by.
        let seconds = count > first.count ? (last - first.time) / .seconds(1) : 0
        return PerfReport(
            records: count - (seconds > 0 ? first.count : 0), bytes: bytes - (seconds > 0 ? first.bytes : 0),
            seconds: seconds, latency: nil, latencyName: "")
    }
}
