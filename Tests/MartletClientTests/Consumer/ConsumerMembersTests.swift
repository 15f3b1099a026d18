import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// Consumers that share a group, with both of its protocols.
@Suite struct ConsumerMembersTests {
    static let protocols: [GroupProtocol] = [.classic, .consumer]

    private func configuration(
        _ broker: TestBroker, _ groupProtocol: GroupProtocol, _ change: (inout ConsumerConfiguration) -> Void = { _ in }
    ) -> ConsumerConfiguration {
        var configuration = broker.consumerConfiguration(group: "g")
        configuration.groupProtocol = groupProtocol
        change(&configuration)
        return configuration
    }

    /// With heartbeats that suit a test, which with the consumer protocol the broker decides.
    private let brokerConfiguration = BrokerTestConfiguration(settings: [
        "group.consumer.heartbeat.interval.ms": "50"
    ])

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func theMembersShareThePartitions(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 4], brokerConfiguration) { broker in
            let all = (0..<4).map { TopicPartition("t", $0) }
            for partition in all {
                try await broker.produce(numbers(0..<20), to: "t", partition: partition.partition)
            }
            let seen = SeenValues()
            func consume(_ consumer: Consumer) -> Task<Void, any Error> {
                Task {
                    for try await record in consumer.records { seen.append(record) }
                }
            }
            let first = try Consumer(configuration: configuration(broker, groupProtocol))
            try first.subscribe(to: ["t"])
            #expect(first.subscription == ["t"])
            let firstTask = consume(first)
            try await eventually("the first has all") { seen.counts == [20, 20, 20, 20] }
            let second = try Consumer(configuration: configuration(broker, groupProtocol))
            try second.subscribe(to: ["t"])
            let secondTask = consume(second)
            try await eventually("each has its half") {
                first.assignment.count == 2 && second.assignment.count == 2
            }
            #expect(first.assignment.union(second.assignment) == Set(all))
            for partition in all {
                try await broker.produce(numbers(20..<40), to: "t", partition: partition.partition)
            }
            try await eventually("both go on") { seen.counts == [40, 40, 40, 40] }
            await first.close()
            try await firstTask.value
            for partition in all {
                try await broker.produce(numbers(40..<60), to: "t", partition: partition.partition)
            }
            try await eventually("the second has all") { second.assignment.count == 4 }
            try await eventually("the second goes on") { seen.counts.allSatisfy { $0 >= 60 } }
            await second.close()
            try await secondTask.value
            // One record was with the first when it was closed: it comes again, and no other.
            let values = seen.values
            for partition in all {
                let got = values[partition] ?? []
                #expect(Set(got) == Set(numbers(0..<60)), "\(partition)")
                #expect(got.count <= 61)
            }
            for partition in 0..<4 {
                let committed = try await broker.committedOffset(of: "g", topic: "t", partition: partition)
                #expect(try #require(committed) >= 59)
            }
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func aBatchAtHandIsNotTakenAway(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 1], brokerConfiguration) { broker in
            let partition = TopicPartition("t", 0)
            try await broker.produce(numbers(0..<10), to: "t")
            let first = try Consumer(configuration: configuration(broker, groupProtocol))
            try first.subscribe(to: ["t"])
            var batches = first.batches.makeAsyncIterator()
            let batch = try #require(try await batches.next())
            #expect(batch.count == 10)
            try await broker.produce(numbers(10..<20), to: "t")
            // Another one takes the only partition: the first subscribes to something else.
            let second = try Consumer(configuration: configuration(broker, groupProtocol))
            try second.subscribe(to: ["t"])
            let task = Task { try await second.values(10) }
            try first.subscribe(to: ["elsewhere"])
            try await Task.sleep(for: .milliseconds(300))
            #expect(first.assignment == [partition])
            #expect(second.assignment.isEmpty)
            let early = try await broker.committedOffset(of: "g", topic: "t")
            #expect(early == nil || early == 0)
            // When it asks, the first is done with its batch, which is committed, and the partition goes.
            #expect(try await first.cancelledNext(&batches) == nil)
            let values = try await task.value
            #expect(values == [partition: numbers(10..<20)])
            await first.close()
            await second.close()
        }
    }

    /// Values by partition in the order in which they came.
    private final class SeenValues: Sendable {
        private let state = Mutex<[TopicPartition: [String]]>([:])

        func append(_ record: ConsumerRecord) {
            state.withLock { $0[record.topicPartition, default: []].append(record.value?.string ?? "") }
        }

        var values: [TopicPartition: [String]] { state.withLock { $0 } }
        var counts: [Int] { values.values.map(\.count) }
    }

    final class Recorder: RebalanceListener {
        let events = Mutex<[String]>([])
        let commits: Bool

        init(commits: Bool = false) {
            self.commits = commits
        }

        private func note(_ event: String, _ partitions: [TopicPartition]) {
            events.withLock { $0.append("\(event) \(partitions.sorted().map(\.description).joined(separator: " "))") }
        }

        func partitionsAssigned(_ partitions: [TopicPartition], to consumer: Consumer) async {
            note("assigned", partitions)
            for partition in partitions {
                do throws(ClientError) {
                    try consumer.seek(partition, to: .offset(5))
                } catch {
                    Issue.record(error)
                }
            }
        }

        func partitionsRevoked(_ partitions: [TopicPartition], from consumer: Consumer) async {
            note("revoked", partitions)
            guard commits else { return }
            do throws(ClientError) {
                try await consumer.commit()
            } catch {
                Issue.record(error)
            }
        }

        func partitionsLost(_ partitions: [TopicPartition], from consumer: Consumer) async {
            note("lost", partitions)
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func theListenerSeeksAndCommits(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 2], brokerConfiguration) { broker in
            try await broker.produce(numbers(0..<10), to: "t", partition: 0)
            let recorder = Recorder(commits: true)
            let consumer = try Consumer(
                configuration: configuration(broker, groupProtocol) {
                    $0.rebalanceListener = recorder
                    $0.isAutoCommitEnabled = false
                })
            try consumer.subscribe(to: ["t"])
            // Nothing is said while the application is away.
            try await Task.sleep(for: .milliseconds(200))
            #expect(recorder.events.withLock { $0 }.isEmpty)
            #expect(try await consumer.values(3) == [TopicPartition("t", 0): numbers(5..<8)])
            #expect(recorder.events.withLock { $0 } == ["assigned t-0 t-1"])
            #expect(try consumer.groupMetadata.memberId.isEmpty == false)
            await consumer.close()
            #expect(recorder.events.withLock { $0 } == ["assigned t-0 t-1", "revoked t-0 t-1"])
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 8)
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func whoDoesNotAskForTooLongLeavesAndComesBack(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 1], brokerConfiguration) { broker in
            let partition = TopicPartition("t", 0)
            try await broker.produce(numbers(0..<20), to: "t", batch: 10)
            let consumer = try Consumer(
                configuration: configuration(broker, groupProtocol) {
                    $0.maximumPollInterval = .milliseconds(300)
                    // However slow the machine is, the first has committed nothing.
                    $0.autoCommitInterval = .seconds(600)
                })
            try consumer.subscribe(to: ["t"])
            #expect(try await consumer.values(5) == [partition: numbers(0..<5)])
            try await eventually("it has left") { consumer.assignment.isEmpty }
            // Another one gets the partition; what the first had done and not committed comes again.
            let other = try Consumer(configuration: configuration(broker, groupProtocol))
            try other.subscribe(to: ["t"])
            let values = try await other.values(20)[partition] ?? []
            #expect(values == numbers(0..<20))
            await other.close()
            let next = try await consumer.values(1)
            #expect(next == [partition: ["19"]])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func aPatternFindsTopics(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["a-1": 1, "b": 1], brokerConfiguration) { broker in
            let consumer = try Consumer(
                configuration: configuration(broker, groupProtocol) { $0.metadataMaximumAge = .milliseconds(100) })
            try consumer.subscribe(matching: "a-.*")
            try await broker.produce(["x"], to: "a-1")
            #expect(try await consumer.values(1) == [TopicPartition("a-1", 0): ["x"]])
            try await broker.createTopic("a-2")
            try await broker.produce(["y"], to: "a-2")
            #expect(try await consumer.values(1) == [TopicPartition("a-2", 0): ["y"]])
            #expect(consumer.assignment == [TopicPartition("a-1", 0), TopicPartition("a-2", 0)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func unsubscribingLeaves(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 1, "u": 1], brokerConfiguration) { broker in
            try await broker.produce(["a", "b"], to: "t", batch: 2)
            try await broker.produce(["c"], to: "u")
            let consumer = try Consumer(configuration: configuration(broker, groupProtocol))
            try consumer.subscribe(to: ["t"])
            var batches = Optional(consumer.batches.makeAsyncIterator())
            #expect(try await batches?.next()?.count == 2)
            // It was asked for the next: the batch is done.
            #expect(try await consumer.cancelledNext(&batches!) == nil)
            batches = nil
            try await consumer.unsubscribe()
            #expect(consumer.assignment.isEmpty)
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 2)
            #expect(throws: ClientError.self) { try consumer.seek(TopicPartition("t", 0), to: .end) }
            try consumer.subscribe(to: ["u"])
            #expect(try await consumer.values(1) == [TopicPartition("u", 0): ["c"]])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func whoSubscribesWhileItLeavesJoinsAgain(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 1, "u": 1], brokerConfiguration) { broker in
            try await broker.produce(["c"], to: "u")
            let consumer = try Consumer(configuration: configuration(broker, groupProtocol))
            try consumer.subscribe(to: ["t"])
            let reading = Task { try await consumer.values(1) }
            try await eventually("it has joined") { consumer.assignment == [TopicPartition("t", 0)] }
            let goodbye = broker.intercept(.leaveGroup, .consumerGroupHeartbeat, times: 1) { _ in
                .delay(.milliseconds(300))
            }
            let leaving = Task { try await consumer.unsubscribe() }
            try await eventually("it leaves") { consumer.subscription.isEmpty && goodbye.hitCount == 1 }
            try consumer.subscribe(to: ["u"])
            try await leaving.value
            #expect(consumer.subscription == ["u"])
            #expect(try await reading.value == [TopicPartition("u", 0): ["c"]])
            #expect(consumer.assignment == [TopicPartition("u", 0)])
            await consumer.close()
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: protocols)
    func aDeletedTopicIsForgotten(groupProtocol: GroupProtocol) async throws {
        try await withTopics(["t": 1, "u": 1], brokerConfiguration) { broker in
            let consumer = try Consumer(
                configuration: configuration(broker, groupProtocol) { $0.metadataMaximumAge = .milliseconds(100) })
            try consumer.subscribe(to: ["t", "u"])
            try await broker.produce(["a"], to: "t")
            #expect(try await consumer.values(1) == [TopicPartition("t", 0): ["a"]])
            let cluster = Cluster(bootstrap: [broker.address])
            let fetches = broker.intercept(.fetch, .metadata) { _ in .proceed }
            _ = try await Admin(cluster: cluster).deleteTopics(["t"])
            let task = Task { try await consumer.values(1) }
            try await eventually("the group forgets it") { consumer.assignment == [TopicPartition("u", 0)] }
            try await broker.produce(["b"], to: "u")
            #expect(try await task.value == [TopicPartition("u", 0): ["b"]])
            #expect(fetches.hitCount < 500)
            await cluster.close()
            await consumer.close()
        }
    }
}

extension Consumer {
    /// Asks for the next batch in a task that is cancelled at once.
    func cancelledNext(_ iterator: inout ConsumerBatches.Iterator) async throws -> ConsumerBatch? {
        let consumer = self
        let identity = iterator.identity
        let task = Task { try await consumer.nextBatch(identity) }
        task.cancel()
        return try await task.value
    }
}
