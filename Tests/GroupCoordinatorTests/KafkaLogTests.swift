import CoordinatorCore
import KafkaProtocol
import Testing

@testable import GroupCoordinator

/// Logs that Kafka has written: all versions of the records, fields that only later versions have, and what compaction
/// leaves.
@Suite struct KafkaLogTests {
    private func versioned(_ message: some ProtocolMessage, _ version: Int16) -> [UInt8] {
        [UInt8(truncatingIfNeeded: version >> 8), UInt8(truncatingIfNeeded: version)]
            + message.encoded(version: version)
    }

    private func load(_ records: [CoordinatorRecord], topics: TopicsImage = .numbered(4)) -> ShardHarness {
        let harness = ShardHarness(topics: topics)
        harness.log = records
        harness.restart()
        return harness
    }

    @Test(arguments: Int16(0)...4) func groupMetadataOfEveryVersion(version: Int16) {
        var member = GroupMetadataValue.MemberMetadata()
        member.memberId = "m"
        member.groupInstanceId = version >= 3 ? "i" : nil
        member.clientId = "c"
        member.clientHost = "/h"
        member.sessionTimeout = 10_000
        member.rebalanceTimeout = version >= 1 ? 20_000 : -1
        member.subscription = ClassicClient.subscription(["t0"])
        member.assignment = [1, 2]
        var value = GroupMetadataValue()
        value.protocolType = "consumer"
        value.generation = 5
        value.protocol = "range"
        value.leader = "m"
        value.currentStateTimestamp = version >= 2 ? 9 : -1
        value.members = [member]
        let harness = load([
            CoordinatorRecord(key: [0, 2, 0, 5] + Array("group".utf8), value: versioned(value, version))
        ])
        let group = harness.shard.classicGroups["group"]!
        #expect(group.state == .stable && group.generationId == 5 && group.leaderId == "m")
        #expect(group.currentStateTimestamp == (version >= 2 ? 9 : nil))
        #expect(group.members["m"]?.rebalanceTimeoutMs == (version >= 1 ? 20_000 : 10_000))
        #expect(group.staticMembers == (version >= 3 ? ["i": "m"] : [:]))
        #expect(group.topicsInUse == .some(["t0"]))
        var client = ClassicClient("c", instanceId: version >= 3 ? "i" : nil)
        client.memberId = "m"
        client.generation = 5
        #expect(client.heartbeat(harness) == .none)
        #expect(harness.sync(client.sync(harness))?.assignment == [1, 2])
    }

    @Test(arguments: Int16(0)...4) func offsetsOfEveryVersion(version: Int16) {
        var value = OffsetCommitValue()
        value.offset = 7
        value.leaderEpoch = version >= 3 ? 2 : -1
        value.metadata = "meta"
        value.commitTimestamp = 3
        value.expireTimestamp = version == 1 ? 11 : -1
        let key: [UInt8] = [0, 1, 0, 5] + Array("group".utf8) + [0, 2] + Array("t0".utf8) + [0, 0, 0, 3]
        let harness = load([CoordinatorRecord(key: key, value: versioned(value, version))])
        #expect(
            harness.shard.offsets.offset(group: "group", topic: "t0", partition: 3)
                == CommittedOffset(
                    offset: 7, leaderEpoch: version >= 3 ? 2 : -1, metadata: "meta", commitTimestamp: 3,
                    expireTimestamp: version == 1 ? 11 : nil, order: 1))
        #expect(harness.describe().groupState == "Empty")
    }

    @Test func laterVersionsAddTaggedFields() {
        // Kafka 4.1 keeps a hash of the topics in tag 0 of the group's epoch and writes no subscription metadata.
        let epoch = CoordinatorRecord(
            key: [0, 3, 0, 5] + Array("group".utf8), value: [0, 0] + [0, 0, 0, 6] + [1, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])
        let records = ConsumerGroupRecords(groupId: "group")
        var member = ConsumerGroupMember(memberId: "m")
        member.memberEpoch = 6
        member.previousMemberEpoch = 6
        member.subscribedTopicNames = ["t0"]
        member.rebalanceTimeoutMs = 30_000
        member.assignedPartitions = TopicPartitionSet([(Uuid(high: 0, low: 1), [0, 1, 2, 3])])
        let harness = load([
            records.memberMetadata(member).encoded(), epoch,
            records.target("m", member.assignedPartitions).encoded(), records.assignmentEpoch(6).encoded(),
            records.currentAssignment(member).encoded(),
        ])
        var client = ConsumerClient("m")
        client.epoch = 6
        client.owned = member.assignedPartitions
        // The missing metadata counts as a change once; the member keeps what it has.
        client.heartbeat(harness)
        #expect(client.lastError == .none && client.epoch == 7 && client.owned == member.assignedPartitions)
        client.heartbeat(harness)
        #expect(client.epoch == 7)
    }

    @Test func membersOfTheClassicProtocolInAConsumerGroupAreSentAway() {
        // A group that Kafka was migrating online. That is not supported here: such members end with their session.
        var value = ConsumerGroupMemberMetadataValue()
        value.instanceId = nil
        value.rackId = nil
        value.subscribedTopicNames = ["t0"]
        value.subscribedTopicRegex = nil
        value.serverAssignor = nil
        value.rebalanceTimeoutMs = 30_000
        var classic = ConsumerGroupMemberMetadataValue.ClassicMemberMetadata()
        classic.sessionTimeoutMs = 10_000
        value.classicMemberMetadata = classic
        var key = ConsumerGroupMemberMetadataKey()
        key.groupId = "group"
        key.memberId = "old"
        let records = ConsumerGroupRecords(groupId: "group")
        let harness = load([
            GroupRecord.consumerGroupMemberMetadata(key, value).encoded(), records.groupEpoch(3).encoded(),
        ])
        var client = ClassicClient("c")
        client.memberId = "old"
        client.generation = 3
        #expect(client.heartbeat(harness) == .unknownMemberId)
        harness.advance(by: 45_000)
        #expect(harness.describeConsumer().groupState == "Empty")
    }

    @Test func groupThatChangedItsProtocolBeforeCompaction() {
        // Only the last record of each key is left: the classic group's tombstone and the consumer group.
        let records = ConsumerGroupRecords(groupId: "group")
        var member = ConsumerGroupMember(memberId: "m")
        member.subscribedTopicNames = ["t0"]
        let offset = CommittedOffset(offset: 4, leaderEpoch: -1, metadata: "", commitTimestamp: 1)
        let harness = load(
            [
                offset.record(group: "group", topic: "t0", partition: 0),
                ClassicGroup(groupId: "group").tombstone, records.memberMetadata(member), records.groupEpoch(1),
            ].map { $0.encoded() })
        #expect(harness.shard.classicGroups.isEmpty)
        #expect(harness.shard.consumerGroups["group"]?.members.count == 1)
        #expect(harness.fetch() == 4)
    }
}
