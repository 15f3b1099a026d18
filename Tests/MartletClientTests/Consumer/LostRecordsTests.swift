import MartletTesting
import Testing

@testable import MartletClient

/// The group gives a member up while the application works on records, and the member joins again beside that.
@Suite(.timeLimit(.minutes(1))) struct LostRecordsTests {
    /// Catches offsets of the old assignment that are committed by the member of the new one, whose positions were learned
    /// before: an exactly-once application would process its records twice.
    @Test(arguments: [GroupProtocol.classic, .consumer])
    func nothingIsCommittedForThem(groupProtocol: GroupProtocol) async throws {
        let settings = ["group.consumer.heartbeat.interval.ms": "50"]
        try await withTopics(["t": 1], BrokerTestConfiguration(settings: settings)) { broker in
            try await broker.produce(numbers(0..<10), to: "t")
            var configuration = broker.consumerConfiguration(group: "g")
            configuration.groupProtocol = groupProtocol
            configuration.isAutoCommitEnabled = false
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            let batches = try await consumer.nextBatches(timeout: .seconds(10))
            let batch = try #require(batches.first)
            #expect(try consumer.groupMetadata.generation >= 0)
            let membership = try #require(consumer.membership)
            broker.intercept(groupProtocol == .classic ? .heartbeat : .consumerGroupHeartbeat, times: 1) { _ in
                .fail(.unknownMemberId)
            }
            try await eventually("the member has joined again") {
                consumer.driver.shared.withLock { $0.application.hasLostRecords }
                    && membership.metadata.generation >= 0 && consumer.assignment.count == 1
            }
            let offsets = [batch.topicPartition: batch.consumedOffset]
            let refusal = #expect(throws: ClientError.self) { try consumer.groupMetadata }
            #expect(refusal?.code == .transactionAborted)
            let failure = await #expect(throws: ClientError.self) { try await consumer.commit(offsets) }
            #expect(failure?.code == .commitFailed)
            #expect(try await broker.committedOffset(of: "g", topic: "t") == nil)

            // It is another's turn as soon as the application asks again: the records come once more, and count.
            let again = try #require(try await consumer.nextBatches(timeout: .seconds(10)).first)
            #expect(again.firstOffset == 0)
            #expect(try consumer.groupMetadata.generation > 0)
            try await consumer.commit([again.topicPartition: again.consumedOffset])
            #expect(try await broker.committedOffset(of: "g", topic: "t") == 10)
            await consumer.close()
        }
    }
}
