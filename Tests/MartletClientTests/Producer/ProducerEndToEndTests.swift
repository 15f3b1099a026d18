import MartletClient
import Testing

@Suite struct ProducerEndToEndTests {
    private func value(_ number: Int) -> ProducerRecord {
        ProducerRecord(topic: "t", partition: 0, value: Array("\(number)".utf8))
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [ProducerConfiguration.Acknowledgements.none, .leader, .all])
    func acknowledgements(acknowledgements: ProducerConfiguration.Acknowledgements) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            var configuration = await node.producerConfiguration
            configuration.acknowledgements = acknowledgements
            configuration.isIdempotent = acknowledgements == .all
            configuration.batchSize = 100
            let producer = try Producer(configuration: configuration)
            let deliveries = try (0..<100).map { try producer.enqueue(value($0)) }
            for (index, delivery) in deliveries.enumerated() {
                let metadata = try await delivery.metadata
                #expect(metadata.topic == "t" && metadata.partition == 0)
                #expect(metadata.offset == (acknowledgements == .none ? nil : Int64(index)))
            }
            await producer.close()
            // Without acknowledgements they may still be on their way.
            while try await node.values("t")[0].count < 100 { try await Task.sleep(for: .milliseconds(10)) }
            let values = try await node.values("t")
            #expect(values == [(0..<100).map { "\($0)" }], "\(values)")
        }
    }

    @Test(.timeLimit(.minutes(1))) func timestampsAreTheRecordsOrTheLogs() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            try await node.createTopic("logged", partitions: 1, [("message.timestamp.type", "LogAppendTime")])
            let producer = try Producer(configuration: await node.producerConfiguration)
            let own = try await producer.send(ProducerRecord(topic: "t", value: [1], timestamp: 1_700_000_000_000))
            #expect(own.timestamp == 1_700_000_000_000)
            let logged = try await producer.send(
                ProducerRecord(topic: "logged", value: [1], timestamp: 1_700_000_000_000))
            #expect(logged.timestamp > 1_700_000_000_000)
            let now = try await producer.send(ProducerRecord(topic: "t", value: [1]))
            #expect(abs(now.timestamp - logged.timestamp) < 60_000)
            await producer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func sendWaitsForRoomAndEnqueueDoesNot() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            var configuration = await node.producerConfiguration
            configuration.bufferMemory = 20_000
            configuration.batchSize = 4000
            configuration.linger = .seconds(10)
            configuration.deliveryTimeout = .seconds(60)
            let producer = try Producer(configuration: configuration)
            let record = ProducerRecord(topic: "t", partition: 0, value: [UInt8](repeating: 1, count: 1000))
            let error = #expect(throws: ClientError.self) { while true { try producer.enqueue(record) } }
            #expect(error?.code == .bufferFull && error?.isRetriable == true)
            // Three times what fits, and nothing of it lingers for ten seconds.
            for _ in 0..<60 { try await producer.enqueueWaiting(record) }
            await producer.close()
            #expect(producer.report.failed == 0)
            #expect(try await node.values("t")[0].count == producer.report.acknowledged)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledSendGivesUpWaiting() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            var configuration = await node.producerConfiguration
            configuration.linger = .seconds(20)
            configuration.deliveryTimeout = .seconds(60)
            let producer = try Producer(configuration: configuration)
            let record = value(1)
            let task = Task { () async -> ClientError.Code? in
                do throws(ClientError) {
                    try await producer.send(record)
                    return nil
                } catch {
                    return error.code
                }
            }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            #expect(await task.value == .cancelled)
            // It had been taken over, and is written.
            await producer.close()
            #expect(try await node.values("t") == [["1"]])
        }
    }

    @Test(.timeLimit(.minutes(1))) func afterCloseEveryCallSaysSo() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let producer = try Producer(configuration: await node.producerConfiguration)
            let delivery = try producer.enqueue(value(1))
            await producer.close()
            await producer.close()
            #expect(try await delivery.metadata.offset == 0)
            #expect(try delivery.result?.get().offset == 0)
            let enqueued = #expect(throws: ClientError.self) { try producer.enqueue(value(2)) }
            #expect(enqueued?.code == .closed)
            let sent = await #expect(throws: ClientError.self) { try await producer.send(value(2)) }
            #expect(sent?.code == .closed)
            try await producer.flush()
        }
    }

    /// Nobody is there at first: records wait, and fail with a typed error if nobody comes.
    @Test(.timeLimit(.minutes(1))) func aBrokerThatIsAwayAtTheStart() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            var configuration = await node.producerConfiguration
            try await node.stop()
            let patient = try Producer(configuration: configuration)
            let delivery = try patient.enqueue(value(1))
            configuration.maximumBlock = .milliseconds(300)
            let hasty = try Producer(configuration: configuration)
            let error = await #expect(throws: ClientError.self) { try await hasty.send(value(2)) }
            #expect(error?.code == .timedOut && error?.isRetriable == true)
            #expect(delivery.result == nil)
            try await node.start()
            #expect(try await delivery.metadata.offset == 0)
            await patient.close()
            await hasty.close()
            #expect(try await node.values("t") == [["1"]])
        }
    }

    @Test(.timeLimit(.minutes(1))) func aTopicThatIsNotThere() async throws {
        try await TestNode.with { node in
            var configuration = await node.producerConfiguration
            configuration.maximumBlock = .seconds(5)
            let impatient = try Producer(configuration: configuration)
            let error = await #expect(throws: ClientError.self) { try await impatient.send(value(2)) }
            #expect(error?.brokerErrorCode == 3)
            await impatient.close()
            // One that comes in time is waited for.
            let patient = try Producer(configuration: await node.producerConfiguration)
            let delivery = try patient.enqueue(value(1))
            try await node.createTopic("t", partitions: 1)
            #expect(try await delivery.metadata.offset == 0)
            await patient.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aBatchLargerThanTheTopicTakesIsDivided() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1, [("max.message.bytes", "2000")])
            let producer = try Producer(configuration: await node.producerConfiguration)
            let deliveries = try (0..<1000).map { try producer.enqueue(value($0)) }
            try await producer.flush()
            for (index, delivery) in deliveries.enumerated() {
                #expect(try await delivery.metadata.offset == Int64(index))
            }
            await producer.close()
            #expect(try await node.values("t") == [(0..<1000).map { "\($0)" }])
        }
    }

    /// Records that waited for their topic go to batches, which are divided in turn: a flush follows all of them.
    @Test(.timeLimit(.minutes(1))) func aFlushWaitsForWhatIsForwardedTwice() async throws {
        try await TestNode.with { node in
            let producer = try Producer(configuration: await node.producerConfiguration)
            let deliveries = try (0..<1000).map { number in
                try producer.enqueue(
                    ProducerRecord(topic: "t", partition: number == 999 ? 1 : 0, value: Array("\(number)".utf8)))
            }
            let flush = Task {
                try await producer.flush()
                return deliveries.count { $0.result == nil }
            }
            // So that the flush begins before there is a topic.
            try await Task.sleep(for: .milliseconds(100))
            try await node.createTopic("t", partitions: 2, [("max.message.bytes", "200")])
            #expect(try await flush.value == 0)
            #expect(producer.report.acknowledged == 1000)
            await producer.close()
        }
    }

    private struct Last: Partitioner {
        func partition(topic: String, key: RawSpan?, partitionCount: Int) -> Int32? {
            if key == nil { nil } else { Int32(partitionCount - 1) }
        }
    }

    @Test(.timeLimit(.minutes(1))) func partitioners() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 5)
            let byKey = try Producer(configuration: await node.producerConfiguration)
            for index in 0..<20 {
                let key = Array("key\(index)".utf8)
                let metadata = try await byKey.send(ProducerRecord(topic: "t", key: key, value: [1]))
                #expect(metadata.partition == KeyPartitioner.partition(ofKey: key, count: 5))
            }
            await byKey.close()
            var configuration = await node.producerConfiguration
            configuration.partitioner = Last()
            let custom = try Producer(configuration: configuration)
            #expect(try await custom.send(ProducerRecord(topic: "t", key: "a", text: "x")).partition == 4)
            #expect((0..<5).contains(try await custom.send(ProducerRecord(topic: "t", text: "x")).partition))
            await custom.close()
        }
    }
}
