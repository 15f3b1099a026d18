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
//   ClientBenchmarks consume|consume-records|end-to-end SERVERS TOPIC RECORDS

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
let consuming = ["consume", "consume-records", "end-to-end"]
guard arguments.count == 5, let count = Int(arguments[4]),
    (["throughput", "latency"] + consuming).contains(arguments[1])
else {
    fatalError("usage: ClientBenchmarks MODE SERVERS TOPIC RECORDS")
}
let isLatency = arguments[1] == "latency"
let topic = arguments[3]
var configuration = ProducerConfiguration(bootstrapServers: try BrokerAddress.list(arguments[2]))
configuration.linger = isLatency ? .zero : .milliseconds(5)

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
    var line = "martlet \(arguments[1]) records=\(count) wall_s=\(fixed(wall, 3)) cpu_s=\(fixed(used, 3))"
    line += " cpu_ns_per_record=\(fixed(used / Double(count) * 1e9, 0))"
    if isLatency {
        latencies.sort()
        line += " median_us=\(fixed(latencies[count / 2] * 1e6, 1))"
        line += " p99_us=\(fixed(latencies[count * 99 / 100] * 1e6, 1))"
    }
    print(line)
    await producer.close()
}

if consuming.contains(arguments[1]) {
    try await consume(arguments[1], configuration.bootstrapServers, topic, count)
} else {
    try await run(configuration)
}
