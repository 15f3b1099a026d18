import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// What is committed, and when.
@Suite struct ConsumerCommitTests {
    private let partition = TopicPartition("t", 0)

    /// Ends a consumer as a crash would: nothing more reaches the brokers.
    private func crash(_ consumer: Consumer) async {
        await consumer.driver.cluster.close()
        consumer.driver.loop.execute { consumer.driver.close() }
    }

    @Test(.timeLimit(.minutes(1))) func onlyWhatIsDoneIsCommittedByItself() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 5)
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.autoCommitInterval = .milliseconds(20)
            // One batch on the wire at a time.
            configuration.maximumPartitionFetchBytes = 100
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            var batches = consumer.batches.makeAsyncIterator()
            #expect(try await batches.next()?.nextOffset == 5)
            try await Task.sleep(for: .milliseconds(200))
            let early = try await broker.committedOffset(of: "g", topic: "t")
            #expect(early == nil || early == 0, "\(String(describing: early))")
            #expect(try await batches.next()?.nextOffset == 10)
            try await eventually("the first batch is committed") {
                try await broker.committedOffset(of: "g", topic: "t") == 5
            }
            // A crash in the midst of the second: it comes again, and nothing is missing.
            await crash(consumer)
            let other = try Consumer(configuration: broker.consumerConfiguration(group: "g"))
            try other.assign([partition])
            #expect(try await other.values(5) == [partition: numbers(5..<10)])
            await other.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCommitBeforeTheWorkMeansAtMostOnce() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 5)
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.isAutoCommitEnabled = false
            configuration.maximumPartitionFetchBytes = 100
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            var batches = consumer.batches.makeAsyncIterator()
            #expect(try await batches.next()?.nextOffset == 5)
            try await consumer.commit()
            await crash(consumer)
            let other = try Consumer(configuration: configuration)
            try other.assign([partition])
            #expect(try await other.values(5) == [partition: numbers(5..<10)])
            await other.close()
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 5)
        }
    }

    @Test(.timeLimit(.minutes(1))) func commitsByHandKeepTheirOrder() async throws {
        try await withTopics(["t": 2]) { broker in
            try await broker.produce(numbers(0..<10), to: "t")
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.isAutoCommitEnabled = false
            let consumer = try Consumer(configuration: configuration)
            try consumer.assign([partition])
            broker.intercept(.offsetCommit, times: 1) { _ in .delay(.milliseconds(50)) }
            for offset in 1..<8 { try consumer.commitInBackground([partition: ConsumedOffset(Int64(offset))]) }
            try await consumer.commit([partition: ConsumedOffset(8, leaderEpoch: 0, metadata: "m")])
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 8)
            let committed = try await consumer.committed([partition, TopicPartition("t", 1)])
            #expect(committed == [partition: ConsumedOffset(8, leaderEpoch: 0, metadata: "m")])
            try consumer.seek(partition, to: .committed)
            // From there it goes on, with the record at hand committed too when that is asked for.
            for try await record in consumer.records {
                #expect(record.offset == 8)
                try await consumer.commit()
                break
            }
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 9)
            broker.intercept(.offsetCommit, times: 1) { _ in .fail(.init(rawValue: 28)) }
            try consumer.commitInBackground()
            try await eventually("the error is known") { consumer.lastCommitError?.brokerErrorCode == 28 }
            await #expect(throws: ClientError.self) { try await consumer.commit([partition: ConsumedOffset(-1)]) }
            await consumer.close()
            let alone = try Consumer(configuration: broker.consumerConfiguration())
            await #expect(throws: ClientError.self) { try await alone.commit() }
            #expect(throws: ClientError.self) { try alone.subscribe(to: ["t"]) }
            await alone.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func closingCommitsAndLeaves() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 10)
            let consumer = try Consumer(configuration: broker.consumerConfiguration(group: "g"))
            try consumer.subscribe(to: ["t"])
            let count = Mutex(0)
            let task = Task {
                for try await batch in consumer.batches { count.withLock { $0 += batch.count } }
            }
            try await eventually("all have come") { count.withLock { $0 } == 10 }
            let cluster = Cluster(bootstrap: [broker.address])
            let administrator = Admin(cluster: cluster)
            #expect(try await administrator.describeGroup("g").members.count == 1)
            await consumer.close()
            // The loop has ended by itself.
            try await task.value
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 10)
            #expect(try await administrator.describeGroup("g").members.isEmpty)
            let error = await #expect(throws: ClientError.self) { try await consumer.nextBatches(timeout: .zero) }
            #expect(error?.code == .closed)
            #expect(throws: ClientError.self) { try consumer.subscribe(to: ["t"]) }
            await consumer.close()
            await cluster.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func closingEndsInTimeWithoutABroker() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 10)
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.closeTimeout = .milliseconds(500)
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            #expect(try await consumer.values(10).count == 1)
            try await broker.stop()
            let start = ContinuousClock.now
            await consumer.close()
            #expect(ContinuousClock.now - start < .seconds(15))
            try await broker.start()
        }
    }

    @Test(.timeLimit(.minutes(2))) func recordsAreCopiedExactlyOnce() async throws {
        try await withTopics(["t": 2, "copy": 2]) { broker in
            for partition in 0..<2 {
                try await broker.produce(numbers(0..<60), to: "t", partition: Int32(partition), batch: 4)
            }
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.isAutoCommitEnabled = false
            configuration.isolationLevel = .readCommitted
            configuration.maximumPartitionFetchBytes = 300
            struct Failure: Error {}
            var failures = 0
            // Each life fails after a while, also between the work and its commit.
            for life in 0..<6 {
                let producer = try broker.producer { $0.transactionalId = "copier" }
                let consumer = try Consumer(configuration: configuration)
                try consumer.subscribe(to: ["t"])
                do {
                    for round in 0... {
                        // The first life has something to do for certain; later ones may have come to the end.
                        let batches = try await consumer.nextBatches(limit: 2, timeout: .seconds(life == 0 ? 60 : 3))
                        if batches.isEmpty { break }
                        try await producer.withTransaction { transaction in
                            for record in batches.joined() {
                                try transaction.enqueue(
                                    ProducerRecord(
                                        topic: "copy", partition: record.partition, value: record.value?.bytes))
                            }
                            try await transaction.sendOffsets(consumer.positions, for: consumer.groupMetadata)
                            if life < 5, round == life { throw Failure() }
                        }
                    }
                } catch is Failure {
                    failures += 1
                }
                await consumer.close()
                await producer.close()
            }
            #expect(failures > 0)
            for partition in 0..<2 {
                let copied = try broker.records(of: "copy", partition: partition).map(\.text)
                #expect(copied == numbers(0..<60))
            }
        }
    }

    /// A commit in the midst of a rebalance may succeed after it; one of a member that is none any more may not.
    @Test(.timeLimit(.minutes(1))) func aCommitDuringARebalanceMayBeRepeated() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 10)
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.partitionAssignmentStrategies = [.cooperativeSticky]
            configuration.isAutoCommitEnabled = false
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            #expect(try await consumer.values(4) == [partition: numbers(0..<4)])
            let asked = broker.intercept(.offsetCommit, times: 1) { _ in .fail(.rebalanceInProgress) }
            let passing = await #expect(throws: ClientError.self) { try await consumer.commit() }
            #expect(passing?.code == .commitFailed && passing?.isRetriable == true)
            // Not tried again behind the application's back, which may have to ask for records first.
            #expect(asked.hitCount == 1)
            #expect(try await broker.committedOffset(of: "g", topic: "t") == nil)
            try await eventually("the rebalance ends") {
                do throws(ClientError) {
                    try await consumer.commit()
                    return true
                } catch {
                    #expect(error.isRetriable)
                    return false
                }
            }
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 4)
            #expect(try await consumer.values(1) == [partition: numbers(4..<5)])
            try await eventually("it is settled") {
                consumer.membership?.state.withLock { ($0.machine as? ClassicMembership)?.phase == .settled } == true
            }
            broker.intercept(.offsetCommit, times: 1) { _ in .fail(.illegalGeneration) }
            let final = await #expect(throws: ClientError.self) { try await consumer.commit() }
            #expect(final?.code == .commitFailed && final?.isRetriable == false)
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1))) func anAutomaticCommitThatARebalanceRefusesComesAgain() async throws {
        try await withTopics(["t": 1]) { broker in
            try await broker.produce(numbers(0..<10), to: "t", batch: 5)
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.partitionAssignmentStrategies = [.cooperativeSticky]
            configuration.autoCommitInterval = .milliseconds(50)
            configuration.maximumPartitionFetchBytes = 100
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            let refused = broker.intercept(.offsetCommit, times: 2) { _ in .fail(.rebalanceInProgress) }
            let reading = Task { for try await _ in consumer.batches {} }
            try await eventually("it is refused") { refused.hitCount == 2 }
            try await eventually("all of it is committed") {
                try await broker.committedOffset(of: "g", topic: "t") == 10
            }
            await consumer.close()
            try await reading.value
        }
    }
}
