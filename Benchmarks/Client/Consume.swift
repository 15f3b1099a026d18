import MartletClient

/// Consumes records that are there already, and records on their way.
@concurrent
func consume(_ mode: String, _ servers: [BrokerAddress], _ topic: String, _ count: Int) async throws {
    var configuration = ConsumerConfiguration(bootstrapServers: servers)
    configuration.offsetReset = .earliest
    let consumer = try Consumer(configuration: configuration)
    if mode == "end-to-end" {
        try await measureEndToEnd(consumer, servers, topic, count)
        return await consumer.close()
    }
    let clock = ContinuousClock()
    let start = clock.now
    let cpu = cpuSeconds()
    try consumer.assign((0..<4).map { TopicPartition(topic, $0) }, from: .beginning)
    var (records, bytes) = (0, 0)
    if mode == "consume-records" {
        for try await record in consumer.records {
            records += 1
            bytes += record.value?.count ?? 0
            if records == count { break }
        }
    } else {
        for try await batch in consumer.batches {
            for record in batch {
                records += 1
                bytes += record.value?.count ?? 0
            }
            if records >= count { break }
        }
    }
    let used = cpuSeconds() - cpu
    let wall = (clock.now - start).seconds
    guard records >= count, bytes == 100 * records else { fatalError("\(records) records, \(bytes) bytes") }
    await consumer.close()
    print(
        "martlet \(mode) records=\(records) wall_s=\(fixed(wall, 3)) cpu_s=\(fixed(used, 3))"
            + " cpu_ns_per_record=\(fixed(used / Double(records) * 1e9, 1))")
}

/// The time from a record's `enqueue` until it is handed out, one record at a time.
@concurrent
private func measureEndToEnd(
    _ consumer: Consumer, _ servers: [BrokerAddress], _ topic: String, _ count: Int
) async throws {
    var producerConfiguration = ProducerConfiguration(bootstrapServers: servers)
    producerConfiguration.linger = .zero
    let producer = try Producer(configuration: producerConfiguration)
    try consumer.assign([TopicPartition(topic, 0)], from: .beginning)
    let value = [UInt8](repeating: 0x78, count: 100)
    let clock = ContinuousClock()
    var latencies: [Double] = []
    var cpu = 0.0
    var batches = consumer.batches.makeAsyncIterator()
    // The first ones wait for connections.
    for index in 0..<count + 100 {
        if index == 100 { cpu = cpuSeconds() }
        let start = clock.now
        try producer.enqueue(topic: topic, partition: 0, value: value.span.bytes)
        guard let batch = try await batches.next(), batch.count == 1 else { fatalError("not one record") }
        if index >= 100 { latencies.append((clock.now - start).seconds) }
    }
    let used = cpuSeconds() - cpu
    latencies.sort()
    print(
        "martlet end-to-end records=\(count) cpu_ns_per_record=\(fixed(used / Double(count) * 1e9, 0))"
            + " median_us=\(fixed(latencies[count / 2] * 1e6, 1)) p99_us=\(fixed(latencies[count * 99 / 100] * 1e6, 1))"
    )
    await producer.close()
}
