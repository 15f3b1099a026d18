import MartletClient

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// The same records as librdkafka.c sends, through this client.
//
//   ClientBenchmarks throughput SERVERS TOPIC RECORDS
//   ClientBenchmarks latency SERVERS TOPIC RECORDS
//   ClientBenchmarks consume SERVERS TOPIC RECORDS       reads what is in the topic, in batches
//   ClientBenchmarks end-to-end SERVERS TOPIC RECORDS    one record at a time, from produce to the consumer
//
// latency-together and end-to-end-together do the same where the clients do their work (ClientExecutor).

#if canImport(Glibc)
    let processUsage = __rusage_who_t(RUSAGE_SELF.rawValue)
#else
    let processUsage = RUSAGE_SELF
#endif

func cpuSeconds() -> Double {
    var usage = rusage()
    getrusage(processUsage, &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

func fixed(_ value: Double, _ digits: Int) -> String {
    let scale = [1.0, 10, 100, 1000][digits]
    return "\((value * scale).rounded() / scale)"
}

let arguments = CommandLine.arguments
guard arguments.count == 5, let count = Int(arguments[4]),
    ["throughput", "latency", "latency-together", "consume", "end-to-end", "end-to-end-together"].contains(arguments[1])
else {
    fatalError("usage: ClientBenchmarks throughput|latency|consume|end-to-end SERVERS TOPIC RECORDS")
}
let isLatency = arguments[1].hasPrefix("latency")
let executor = arguments[1].hasSuffix("-together") ? ClientExecutor() : nil
let servers = try BrokerAddress.list(arguments[2])
let topic = arguments[3]
var configuration = ProducerConfiguration(bootstrapServers: servers)
configuration.linger = arguments[1] == "throughput" ? .milliseconds(5) : .zero
configuration.executor = executor
let name = executor == nil ? "martlet" : "martlet-together"
let consumerConfiguration = makeConsumerConfiguration()
let partitions = (0..<4).map { TopicPartition(topic, $0) }

func makeConsumerConfiguration() -> ConsumerConfiguration {
    var configuration = ConsumerConfiguration(bootstrapServers: servers)
    configuration.executor = executor
    return configuration
}

func percentiles(_ latencies: [Double]) -> String {
    let sorted = latencies.sorted()
    return " median_us=\(fixed(sorted[sorted.count / 2] * 1e6, 1))"
        + " p99_us=\(fixed(sorted[sorted.count * 99 / 100] * 1e6, 1))"
}

/// Not on the main actor, as a server's code would not be.
@concurrent
func run(_ configuration: ProducerConfiguration) async throws {
    let producer = try Producer(configuration: configuration)
    let value = [UInt8](repeating: 0x78, count: 100)

    // The first record waits for the connection; it is not measured.
    try await producer.send(ProducerRecord(topic: topic, partition: 0, value: value))
    var latencies: [Double] = []
    let clock = ContinuousClock()
    let start = clock.now
    let cpu = cpuSeconds()
    if isLatency {
        for index in 0..<count {
            let sent = clock.now
            try await producer.send(ProducerRecord(topic: topic, partition: Int32(index & 3), value: value))
            latencies.append((clock.now - sent).seconds)
        }
    } else {
        for index in 0..<count {
            while true {
                do throws(ClientError) {
                    try producer.enqueue(topic: topic, partition: Int32(index & 3), value: value.span.bytes)
                    break
                } catch {
                    guard error.code == .bufferFull else { throw error }
                    try await producer.waitForMemory()
                }
            }
        }
        try await producer.flush()
    }
    let wall = (clock.now - start).seconds
    let used = cpuSeconds() - cpu
    guard producer.report.failed == 0, producer.report.acknowledged == count + 1 else {
        fatalError("\(producer.report)")
    }
    var line = "\(name) \(arguments[1]) records=\(count) wall_s=\(fixed(wall, 3)) cpu_s=\(fixed(used, 3))"
    line += " cpu_ns_per_record=\(fixed(used / Double(count) * 1e9, 0))"
    if isLatency {
        line += percentiles(latencies)
    }
    print(line)
    await producer.close()
}

@concurrent
func consume() async throws {
    let consumer = try Consumer(configuration: consumerConfiguration)
    try consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, .beginning) }))
    var read = 0
    var bytes = 0
    // The first records wait for the connection; they are not measured.
    var start: (time: ContinuousClock.Instant, cpu: Double, read: Int)?
    for try await batch in consumer.batches {
        for record in batch {
            bytes += record.value?.count ?? 0
            read += 1
        }
        if start == nil { start = (.now, cpuSeconds(), read) }
        if read >= count { break }
    }
    let wall = (ContinuousClock.now - start!.time).seconds
    let used = cpuSeconds() - start!.cpu
    var line = "\(name) consume records=\(read) bytes=\(bytes) wall_s=\(fixed(wall, 3)) cpu_s=\(fixed(used, 3))"
    line += " cpu_ns_per_record=\(fixed(used / Double(read - start!.read) * 1e9, 0))"
    print(line)
    await consumer.close()
}

@concurrent
func endToEnd(_ configuration: ProducerConfiguration) async throws {
    let consumer = try Consumer(configuration: consumerConfiguration)
    try consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, .end) }))
    let producer = try Producer(configuration: configuration)
    var value = [UInt8](repeating: 0x78, count: 100)
    let clock = ContinuousClock()
    var latencies: [Double] = []
    var start = (time: clock.now, cpu: cpuSeconds())
    // The first ones wait until the consumer has found the end of the partitions.
    var warm = 0
    while warm < 100 {
        try producer.enqueue(topic: topic, partition: Int32(warm & 3), value: value.span.bytes)
        warm += try await consumer.nextBatches(timeout: .milliseconds(100)).isEmpty ? 0 : 1
        if warm == 100 { start = (clock.now, cpuSeconds()) }
    }
    while try await !consumer.nextBatches(timeout: .milliseconds(200)).isEmpty {}
    var batches = consumer.batches.makeAsyncIterator()
    while latencies.count < count {
        let sent = clock.now
        withUnsafeBytes(of: latencies.count) { value.replaceSubrange(0..<8, with: $0) }
        try producer.enqueue(topic: topic, partition: Int32(latencies.count & 3), value: value.span.bytes)
        let record = try await batches.next()?.first { _ in true }
        latencies.append((clock.now - sent).seconds)
        guard record?.value?.elementsEqual(value) == true else { fatalError("a record did not come") }
    }
    let wall = (clock.now - start.time).seconds
    let used = cpuSeconds() - start.cpu
    var line = "\(name) \(arguments[1]) records=\(count) wall_s=\(fixed(wall, 3)) cpu_s=\(fixed(used, 3))"
    line += " cpu_ns_per_record=\(fixed(used / Double(count) * 1e9, 0))\(percentiles(latencies))"
    print(line)
    await producer.close()
    await consumer.close()
}

try await withTaskExecutorPreference(executor) {
    switch arguments[1] {
    case "consume": try await consume()
    case "end-to-end", "end-to-end-together": try await endToEnd(configuration)
    default: try await run(configuration)
    }
}
