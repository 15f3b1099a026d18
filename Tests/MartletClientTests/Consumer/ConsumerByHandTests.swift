import MartletTesting
import Testing

@testable import MartletClient

/// A consumer of partitions that were assigned by hand.
@Suite struct ConsumerByHandTests {
    @Test(.timeLimit(.minutes(1)), arguments: [Compression.none, .lz4, .zstd, .snappy, .gzip])
    func everyRecordComesOnceAndInOrder(compression: Compression) async throws {
        try await withTestedTopics(["t": 3]) { broker in
            for partition in 0..<3 {
                try await broker.produce(
                    numbers(0..<100), to: "t", partition: Int32(partition), batch: 7, compression: compression)
            }
            var configuration = broker.consumerConfiguration()
            // Several fetches for each partition.
            configuration.maximumPartitionFetchBytes = 500
            let consumer = try Consumer(configuration: configuration)
            let partitions = try await consumer.partitions(of: "t")
            #expect(partitions.count == 3)
            try consumer.assign(partitions)
            let values = try await consumer.values(300)
            for partition in partitions { #expect(values[partition] == numbers(0..<100)) }
            #expect(consumer.assignment == Set(partitions))
            for partition in partitions {
                #expect(consumer.position(of: partition) == 100)
                #expect(consumer.currentLag(of: partition) == 0)
            }
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aRecordHasAllThatWasProduced() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            let producer = try broker.producer()
            let header = Header(key: "h", value: nil)
            try await producer.send(
                ProducerRecord(
                    topic: "t", partition: 0, key: [1, 2], value: nil, headers: [header, Header(key: "i", text: "j")],
                    timestamp: 1_700_000_000_123))
            try await producer.send(ProducerRecord(topic: "t", key: "k", text: "v"))
            await producer.close()
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([TopicPartition("t", 0)], from: .beginning)
            var records: [ConsumerRecord] = []
            for try await record in consumer.records {
                records.append(record)
                if records.count == 2 { break }
            }
            await consumer.close()
            // They outlive the consumer.
            #expect(records[0].topic == "t" && records[0].partition == 0 && records[0].offset == 0)
            #expect(records[0].key?.bytes == [1, 2])
            #expect(records[0].value == nil)
            #expect(records[0].headers == [header, Header(key: "i", text: "j")])
            #expect(records[0].hasHeaders && !records[1].hasHeaders)
            #expect(records[0].timestamp == 1_700_000_000_123)
            #expect(records[1].key?.string == "k" && records[1].value?.string == "v")
            #expect(records[1].value.map { Array($0) } == Array("v".utf8))
            #expect(records[1].headers.isEmpty && records[1].offset == 1)
        }
    }

    @Test(.timeLimit(.minutes(1))) func batchesHoldWhatAFetchBrought() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<50), to: "t", batch: 10)
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([TopicPartition("t", 0)], from: .offset(15))
            var values: [String] = []
            var next: Int64 = 15
            for try await batch in consumer.batches {
                #expect(batch.firstOffset == next && batch.topic == "t" && batch.partition == 0)
                #expect(batch.count == batch.map(\.offset).count)
                #expect(batch.highWatermark == 50 && batch.leaderEpoch != nil)
                values += batch.map { $0.value?.string ?? "" }
                var count = 0
                batch.forEachRecord { record in count += record.value == nil ? 0 : 1 }
                #expect(count == batch.count)
                next = batch.nextOffset
                #expect(batch.lastOffset == next - 1)
                if next == 50 { break }
            }
            #expect(values == numbers(15..<50))
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func seekGoesAnywhere() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            let partition = TopicPartition("t", 0)
            let producer = try broker.producer()
            for number in 0..<20 {
                try await producer.send(
                    ProducerRecord(
                        topic: "t", partition: 0, value: Array("\(number)".utf8), timestamp: 1000 + Int64(number)))
            }
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([partition], from: .end)
            #expect(try await consumer.nextBatches(timeout: .milliseconds(150)).isEmpty)
            try consumer.seek(partition, to: .beginning)
            #expect(try await consumer.values(3) == [partition: numbers(0..<3)])
            // In the midst of a batch at hand.
            try consumer.seek(partition, to: .offset(10))
            #expect(try await consumer.values(2) == [partition: numbers(10..<12)])
            #expect(consumer.position(of: partition) == 12)
            try consumer.seek(partition, to: .timestamp(1015))
            #expect(try await consumer.values(5) == [partition: numbers(15..<20)])
            try consumer.seek(partition, to: .timestamp(5000))
            async let next = consumer.values(1)
            try await eventually("the end is known") { consumer.position(of: partition) == 20 }
            try await producer.send(ProducerRecord(topic: "t", partition: 0, value: Array("new".utf8)))
            #expect(try await next == [partition: ["new"]])
            #expect(throws: ClientError.self) { try consumer.seek(TopicPartition("t", 1), to: .end) }
            #expect(throws: ClientError.self) { try consumer.seek(partition, to: .offset(-1)) }
            #expect(try await consumer.beginningOffsets(of: [partition]) == [partition: 0])
            #expect(try await consumer.endOffsets(of: [partition]) == [partition: 21])
            let found = try await consumer.offsets(forTimes: [partition: 1007])
            #expect(found == [partition: TimestampedOffset(offset: 7, timestamp: 1007)])
            #expect(try await consumer.offsets(forTimes: [partition: .max / 2]).isEmpty)
            await producer.close()
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aPausedPartitionRestsAndLosesNothing() async throws {
        try await withTestedTopics(["t": 2]) { broker in
            let (a, b) = (TopicPartition("t", 0), TopicPartition("t", 1))
            try await broker.produce(numbers(0..<30), to: "t", partition: 0)
            try await broker.produce(numbers(0..<30), to: "t", partition: 1)
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([a, b])
            var values: [TopicPartition: [String]] = [:]
            var paused: TopicPartition?
            for try await record in consumer.records {
                #expect(record.topicPartition != paused)
                values[record.topicPartition, default: []].append(record.value?.string ?? "")
                // In the midst of a batch.
                if paused == nil, values[record.topicPartition]?.count == 5 {
                    paused = record.topicPartition
                    try consumer.pause([record.topicPartition])
                    #expect(consumer.paused == [record.topicPartition])
                }
                if values.values.contains(where: { $0.count == 30 }) { break }
            }
            let first = try #require(paused)
            #expect(values[first]?.count == 5)
            #expect(try await consumer.nextBatches(timeout: .milliseconds(100)).isEmpty)
            try consumer.resume([first])
            values.merge(try await consumer.values(25)) { $0 + $1 }
            #expect(values == [a: numbers(0..<30), b: numbers(0..<30)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func anAssignmentKeepsThePositionsOfWhatStays() async throws {
        try await withTestedTopics(["t": 2]) { broker in
            let (a, b) = (TopicPartition("t", 0), TopicPartition("t", 1))
            try await broker.produce(numbers(0..<20), to: "t", partition: 0)
            try await broker.produce(numbers(0..<20), to: "t", partition: 1)
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([a])
            #expect(try await consumer.values(5) == [a: numbers(0..<5)])
            try consumer.assign([a, b])
            #expect(try await consumer.values(35) == [a: numbers(5..<20), b: numbers(0..<20)])
            try consumer.assign([b: .offset(3)])
            #expect(try await consumer.values(2) == [b: numbers(3..<5)])
            #expect(throws: ClientError.self) { try consumer.subscribe(to: ["t"]) }
            try await consumer.unsubscribe()
            #expect(consumer.assignment.isEmpty)
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func resetPolicies() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            let partition = TopicPartition("t", 0)
            try await broker.produce(numbers(0..<10), to: "t")
            var configuration = broker.consumerConfiguration()
            configuration.offsetReset = .none
            let strict = try Consumer(configuration: configuration)
            try strict.assign([partition])
            for _ in 0..<2 {
                let error = await #expect(throws: ClientError.self) { try await strict.values(1) }
                #expect(error?.code == .noOffset)
            }
            try strict.seek(partition, to: .offset(100))
            let error = await #expect(throws: ClientError.self) { try await strict.values(1) }
            #expect(error?.brokerErrorCode == 1, "\(String(describing: error))")
            try strict.seek(partition, to: .offset(8))
            #expect(try await strict.values(2) == [partition: ["8", "9"]])
            await strict.close()
            let consumer = try Consumer(configuration: broker.consumerConfiguration())
            try consumer.assign([partition: .offset(100)])
            #expect(try await consumer.values(10) == [partition: numbers(0..<10)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aRecordLargerThanAFetchComes() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            let large = String(repeating: "x", count: 600_000)
            try await broker.produce(["a", large, "b", large], to: "t", batch: 1)
            var configuration = broker.consumerConfiguration()
            configuration.maximumPartitionFetchBytes = 1000
            configuration.fetchMaximumBytes = 2000
            configuration.prefetchMemory = 4000
            let consumer = try Consumer(configuration: configuration)
            try consumer.assign([TopicPartition("t", 0)])
            #expect(try await consumer.values(4) == [TopicPartition("t", 0): ["a", large, "b", large]])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func onlyCommittedRecordsAreReadWhenThatIsWanted() async throws {
        try await withTestedTopics(["t": 1]) { broker in
            let partition = TopicPartition("t", 0)
            let producer = try broker.producer { $0.transactionalId = "id" }
            func write(_ values: [String], commits: Bool) async throws {
                struct Abort: Error {}
                do {
                    try await producer.withTransaction { transaction in
                        for value in values {
                            try await transaction.send(
                                ProducerRecord(topic: "t", partition: 0, value: Array(value.utf8)))
                        }
                        if !commits { throw Abort() }
                    }
                } catch is Abort {}
            }
            try await write(["a", "b"], commits: true)
            try await write(["no", "never"], commits: false)
            try await write(["c"], commits: true)
            var configuration = broker.consumerConfiguration()
            configuration.isolationLevel = .readCommitted
            let consumer = try Consumer(configuration: configuration)
            try consumer.assign([partition])
            #expect(try await consumer.values(3) == [partition: ["a", "b", "c"]])
            // Markers have offsets and no records.
            let end = try await consumer.endOffsets(of: [partition])[partition]
            #expect(end == 8)
            try await eventually("the position passes the marker") {
                _ = try await consumer.nextBatches(timeout: .milliseconds(10))
                return consumer.position(of: partition) == end && consumer.currentLag(of: partition) == 0
            }
            configuration.isolationLevel = .readUncommitted
            let other = try Consumer(configuration: configuration)
            try other.assign([partition])
            #expect(try await other.values(5) == [partition: ["a", "b", "no", "never", "c"]])
            await other.close()
            await consumer.close()
            await producer.close()
        }
    }
}
