import KafkaProtocol
import MartletClient
import RecordFormat
import Testing

/// The client against a real node in this process, on a port of its own and in a folder of its own.
@Suite struct EndToEndTests {
    private func withCluster(_ body: (Cluster) async throws -> Void) async throws {
        try await TestNode.with { node in
            let cluster = Cluster(bootstrap: [await node.address])
            do {
                try await body(cluster)
            } catch {
                Issue.record(error)
            }
            await cluster.close()
        }
    }

    private func records(_ topic: String, _ count: Int) -> [ProducerRecord] {
        (0..<count).map {
            ProducerRecord(topic: topic, key: Array("k\($0)".utf8), value: Array("\($0)".utf8), timestamp: 1)
        }
    }

    @Test(.timeLimit(.minutes(1))) func whatIsProducedIsConsumedOnce() async throws {
        try await withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            let created = try await administrator.createTopic(
                "t", partitions: 3, replicationFactor: nil, configuration: [("retention.ms", "1000000")])
            #expect(created.partitionCount == 3)
            var configuration = ProducerConfiguration(bootstrapServers: cluster.bootstrap)
            configuration.batchSize = 500
            configuration.compression = .zstd
            let producer = try Producer(configuration: configuration)
            for record in records("t", 1000) { try producer.enqueue(record) }
            await producer.close()
            #expect(producer.report.acknowledged == 1000)
            #expect(producer.report.failed == 0)

            let partitions = (0..<3).map { TopicPartition("t", $0) }
            let ends = try await administrator.offsets(of: partitions, at: .latest)
            #expect(ends.values.map(\.offset).reduce(0, +) == 1000)
            let consumer = try Consumer(
                cluster: cluster, configuration: ConsumerConfiguration(bootstrapServers: cluster.bootstrap))
            try consumer.assign(partitions, from: .beginning)
            var seen: [String] = []
            for try await record in consumer.records {
                seen.append(record.value?.string ?? "null")
                if seen.count == 1000 { break }
            }
            await consumer.close()
            #expect(seen.sorted() == (0..<1000).map { "\($0)" }.sorted())
        }
    }

    @Test(.timeLimit(.minutes(1))) func aGroupGoesOnWhereItHasCommitted() async throws {
        try await withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            _ = try await administrator.createTopic("t", partitions: 2, replicationFactor: 1, configuration: [])
            let producer = try Producer(
                cluster: cluster, configuration: ProducerConfiguration(bootstrapServers: cluster.bootstrap))
            var configuration = ConsumerConfiguration(bootstrapServers: cluster.bootstrap, groupId: "g")
            configuration.offsetReset = .earliest
            for round in 0..<2 {
                for record in records("t", 50) { try producer.enqueue(record) }
                try await producer.flush()
                let consumer = try Consumer(cluster: cluster, configuration: configuration)
                try consumer.subscribe(to: ["t"])
                var count = 0
                while count < 50 {
                    count += try await consumer.nextBatches(timeout: .seconds(5)).reduce(0) { $0 + $1.count }
                }
                #expect(count == 50, "round \(round)")
                try await consumer.commit()
                await consumer.close()
            }
            let described = try await administrator.describeGroup("g")
            #expect(described.state == "Empty")
            let committed = try await administrator.committedOffsets(of: "g")
            #expect(committed.values.map(\.offset).reduce(0, +) == 100)
            try await administrator.deleteGroup("g")
            await #expect(throws: ClientError.self) { try await administrator.describeGroup("g") }
        }
    }

    @Test(.timeLimit(.minutes(1))) func aRefusedBatchDoesNotStopTheNextOnes() async throws {
        try await withCluster { cluster in
            _ = try await Admin(cluster: cluster).createTopic(
                "t", partitions: 1, replicationFactor: 1, configuration: [("max.message.bytes", "1000")])
            let producer = try Producer(
                cluster: cluster, configuration: ProducerConfiguration(bootstrapServers: cluster.bootstrap))
            var offsets: [Int64?] = []
            for length in [10, 5000, 20] {
                do throws(ClientError) {
                    let record = ProducerRecord(topic: "t", value: [UInt8](repeating: 0x61, count: length))
                    offsets.append(try await producer.send(record).offset)
                } catch {
                    #expect(error.protocolCode == .messageTooLarge)
                }
            }
            #expect(offsets == [0, 1])
            await producer.close()
            let report = producer.report
            #expect(report.acknowledged == 2)
            #expect(report.failed == 1)
            #expect(report.failure?.protocolCode == .messageTooLarge)
        }
    }

    @Test(.timeLimit(.minutes(1))) func errorsAreTyped() async throws {
        try await withCluster { cluster in
            let error = await #expect(throws: ClientError.self) { try await cluster.topic("missing") }
            #expect(error?.protocolCode == .unknownTopicOrPartition)
            let bad = await #expect(throws: ClientError.self) {
                try await Admin(cluster: cluster)
                    .createTopic("t", partitions: 1, replicationFactor: 1, configuration: [("no.such", "1")])
            }
            #expect(bad?.protocolCode == .invalidConfig)
        }
        let nobody = Cluster(bootstrap: [BrokerAddress(host: "127.0.0.1", port: 1)])
        let error = await #expect(throws: ClientError.self) { try await nobody.topic("t") }
        #expect(error?.code == .connectionFailed)
    }

    /// A member that waits for others does not keep a cancelled task waiting.
    @Test(.timeLimit(.minutes(1))) func cancellationDoesNotWaitForTheReply() async throws {
        try await withCluster { cluster in
            let connection = try await cluster.connection(.any)
            var request = FetchRequest()
            request.maxWaitMs = 30_000
            request.minBytes = 1
            let waiting = request
            _ = try await Admin(cluster: cluster)
                .createTopic("t", partitions: 1, replicationFactor: 1, configuration: [])
            let task = Task { () async -> ClientError.Code? in
                do throws(ClientError) {
                    _ = try await connection.send(waiting.reading("t"), maximumVersion: 12)
                    return nil
                } catch {
                    return error.code
                }
            }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            #expect(await task.value == .cancelled)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aClosedClusterOpensNoConnection() async throws {
        try await TestNode.with { node in
            let cluster = Cluster(bootstrap: [await node.address])
            let connection = try await cluster.connection(.any)
            await cluster.close()
            await #expect(throws: ClientError.self) { try await cluster.refreshMetadata(of: []) }
            let error = await #expect(throws: ClientError.self) { try await cluster.connection(.any) }
            #expect(error?.code == .closed)
            await cluster.close()
            // What it had opened ends, too.
            while connection.isOpen { try await Task.sleep(for: .milliseconds(1)) }
        }
    }
}

extension FetchRequest {
    fileprivate func reading(_ name: String) -> FetchRequest {
        var partition = FetchPartition()
        partition.partitionMaxBytes = 1000
        var topic = FetchTopic()
        topic.topic = name
        topic.partitions = [partition]
        var request = self
        request.topics = [topic]
        return request
    }
}
