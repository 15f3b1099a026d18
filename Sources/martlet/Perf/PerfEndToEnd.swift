import ArgumentParser
import MartletClient

struct PerfEndToEnd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "end-to-end",
        abstract: "Measure how long records take from a producer to a consumer.",
        discussion: """
            One record at a time: it is produced without lingering, and the next one goes when a consumer has it.

              martlet perf end-to-end load --records 10000 --acks all
            """)

    @Argument(help: "The topic. It must exist.")
    var topic: String

    @Option(name: .shortAndLong, help: "How many records.")
    var records: Int = 10_000

    @Option(name: .shortAndLong, help: ArgumentHelp("How long a record's value is.", valueName: "bytes"))
    var size: Int = 100

    @Option(name: .shortAndLong, help: "Who must have a record: all in-sync replicas, 1 for the leader, 0 for nobody.")
    var acks: ProducerConfiguration.Acknowledgements = .all

    @Flag(help: "Print JSON for programs instead of a table for people.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        guard (1...Int(Int32.max)).contains(records) else { throw ValidationError("--records must be at least 1") }
        guard (0...(1 << 20)).contains(size) else { throw ValidationError("--size must be 0 to 1048576") }
    }

    func run() async throws {
        let command = self
        try await Interruption.cancelling { try await command.measure() }.print(json: json)
    }

    private func measure() async throws -> PerfReport {
        try await connection.withCluster { cluster in
            let count = try await cluster.topic(topic).partitions.count
            let partitions = (0..<count).map { TopicPartition(topic, Int32($0)) }
            var configuration = ProducerConfiguration(bootstrapServers: cluster.bootstrap)
            configuration.clientId = cluster.options.clientId
            configuration.acknowledgements = acks
            configuration.isIdempotent = acks == .all
            configuration.linger = .zero
            configuration.maximumRequestSize = max(configuration.maximumRequestSize, 2 * size)
            // As a program that waits for single records does it.
            let executor = ClientExecutor()
            configuration.executor = executor
            var consuming = ConsumerConfiguration(bootstrapServers: cluster.bootstrap)
            consuming.executor = executor
            let ends = try await Admin(cluster: cluster).offsets(of: partitions, at: .latest)
            let consumer = try Consumer(cluster: cluster, configuration: consuming)
            try consumer.assign(ends.mapValues { .offset($0.offset) })
            let producer = try Producer(cluster: cluster, configuration: configuration)
            do {
                let report = try await withTaskExecutorPreference(executor) {
                    try await measure(producer, consumer, partitions)
                }
                await producer.close()
                await consumer.close()
                return report
            } catch {
                await producer.close()
                await consumer.close()
                throw error
            }
        }
    }

    private func measure(
        _ producer: Producer, _ consumer: Consumer, _ partitions: [TopicPartition]
    ) async throws -> PerfReport {
        let payloads = PayloadPool(size: size)
        let latencies = LatencyRecorder()
        let progress = ProgressLine(total: records)
        let clock = ContinuousClock()
        // The first ones wait for connections; they are not measured.
        let warmUp = min(100, records)
        var start = clock.now
        for index in 0..<(warmUp + records) {
            if index == warmUp { start = clock.now }
            let sent = clock.now
            let delivery = try producer.enqueue(
                ProducerRecord(
                    topic: topic, partition: partitions[index % partitions.count].partition, value: payloads[index]))
            guard try await !consumer.nextBatches(timeout: .seconds(30)).isEmpty else {
                try Task.checkCancellation()
                if case .failure(let error)? = delivery.result { throw error }
                throw CommandFailure("a record was not consumed within 30 seconds")
            }
            if index >= warmUp { latencies.record(clock.now - sent) }
            progress.update(index)
        }
        progress.finish(records)
        return PerfReport(
            records: records, bytes: records * size, seconds: (clock.now - start) / .seconds(1),
            latency: latencies.summary, latencyName: "end to end")
    }
}
