import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct ProtocolConversionTests {
    private let topics = TopicsImage.numbered(4)

    @Test func emptyClassicGroupBecomesAConsumerGroup() {
        let harness = ShardHarness(topics: topics)
        var classic = [ClassicClient("a")]
        harness.stabilize(&classic)
        var consumer = ConsumerClient("m")
        consumer.heartbeat(harness)
        #expect(consumer.lastError == .groupIdNotFound)
        #expect(harness.commit(offset: 9, memberId: classic[0].memberId, generation: 1) == .none)
        _ = classic[0].leave(harness)
        consumer.heartbeat(harness)
        #expect(consumer.lastError == .none && consumer.owned.count == 4)
        #expect(harness.fetch() == 9)
        harness.restart()
        consumer.heartbeat(harness)
        #expect(consumer.lastError == .none)
        #expect(harness.fetch() == 9)
    }

    @Test func emptyConsumerGroupBecomesAClassicGroup() {
        let harness = ShardHarness(topics: topics)
        var consumer = ConsumerClient("m")
        consumer.heartbeat(harness)
        #expect(harness.commit(offset: 9, memberId: "m", generation: 1) == .none)
        #expect(harness.joinError(ClassicClient("a").join(harness)) == .inconsistentGroupProtocol)
        consumer.leave(harness)
        // The log may end right after the consumer group's tombstones.
        let pending = ClassicClient("a").join(harness)
        #expect(harness.joinError(pending) == .memberIdRequired)
        harness.restart()
        #expect(harness.fetch() == 9)
        var classic = [ClassicClient("a")]
        harness.stabilize(&classic)
        #expect(classic[0].heartbeat(harness) == .none)
        #expect(harness.fetch() == 9)
        harness.restart()
        #expect(classic[0].heartbeat(harness) == .none)
        #expect(harness.describeConsumer().errorCode == ErrorCode.groupIdNotFound.rawValue)
    }

    @Test func refusedFirstMemberLeavesTheClassicGroupAlone() {
        let harness = ShardHarness(topics: topics)
        _ = harness.commit(offset: 1)
        let written = harness.log.count
        var consumer = ConsumerClient("m")
        consumer.topics = nil
        consumer.regex = "["
        consumer.heartbeat(harness)
        #expect(consumer.lastError == .invalidRegularExpression)
        #expect(harness.log.count == written)
        #expect(harness.describe().groupState == "Empty" && harness.describe().errorCode == 0)
    }
}
