import KafkaProtocol
import Testing

@testable import GroupCoordinator

/// Byte for byte as Kafka writes them: the expected bytes are spelled out from the format's description.
@Suite struct GroupRecordTests {
    @Test func offsetCommit() {
        let offset = CommittedOffset(offset: 258, leaderEpoch: 3, metadata: "m", commitTimestamp: 4)
        let record = offset.record(group: "g", topic: "t", partition: 1).encoded()
        #expect(record.key == [0, 1, 0, 1, 0x67, 0, 1, 0x74, 0, 0, 0, 1])
        #expect(
            record.value == [0, 3] + [0, 0, 0, 0, 0, 0, 1, 2] + [0, 0, 0, 3] + [0, 1, 0x6D]
                + [0, 0, 0, 0, 0, 0, 0, 4])
        let tombstone = CommittedOffset.tombstone(group: "g", topic: "t", partition: 1).encoded()
        #expect(tombstone.key == record.key && tombstone.value == nil)
    }

    @Test func offsetCommitWithAnExpireTimestampIsVersionOne() {
        let offset = CommittedOffset(
            offset: 1, leaderEpoch: 3, metadata: "", commitTimestamp: 2, expireTimestamp: 5)
        let record = offset.record(group: "g", topic: "t", partition: 0).encoded()
        #expect(
            record.value == [0, 1] + [0, 0, 0, 0, 0, 0, 0, 1] + [0, 0] + [0, 0, 0, 0, 0, 0, 0, 2]
                + [0, 0, 0, 0, 0, 0, 0, 5])
    }

    @Test func oldOffsetKeysAreRead() throws {
        let key: [UInt8] = [0, 0, 0, 1, 0x67, 0, 1, 0x74, 0, 0, 0, 1]
        guard case .record(.offsetCommit(let read, nil)) = try GroupRecord.decode(key: key, value: nil) else {
            Issue.record("not an offset")
            return
        }
        #expect(read.group == "g" && read.topic == "t" && read.partition == 1)
    }

    @Test func groupMetadata() {
        var group = ClassicGroup(groupId: "g")
        group.protocolType = "c"
        group.transition(to: .empty, now: 7)
        let record = group.metadataRecord.encoded()
        #expect(record.key == [0, 2, 0, 1, 0x67])
        #expect(
            record.value == [0, 3] + [0, 1, 0x63] + [0, 0, 0, 0] + [0xFF, 0xFF] + [0xFF, 0xFF]
                + [0, 0, 0, 0, 0, 0, 0, 7] + [0, 0, 0, 0])
    }

    @Test func consumerGroupKeysAndValues() {
        let records = ConsumerGroupRecords(groupId: "g")
        #expect(records.groupEpoch(2).encoded().key == [0, 3, 0, 1, 0x67])
        #expect(records.groupEpoch(2).encoded().value == [0, 0] + [0, 0, 0, 2] + [0])
        #expect(records.subscriptionMetadata(nil).encoded().key == [0, 4, 0, 1, 0x67])
        #expect(records.memberMetadataTombstone("m").encoded().key == [0, 5, 0, 1, 0x67, 0, 1, 0x6D])
        #expect(records.assignmentEpoch(2).encoded().key == [0, 6, 0, 1, 0x67])
        #expect(records.target("m", nil).encoded().key == [0, 7, 0, 1, 0x67, 0, 1, 0x6D])
        #expect(records.currentAssignmentTombstone("m").encoded().key == [0, 8, 0, 1, 0x67, 0, 1, 0x6D])
        var member = ConsumerGroupMember(memberId: "m")
        member.memberEpoch = 5
        member.previousMemberEpoch = 4
        member.state = .unreleasedPartitions
        member.assignedPartitions.insert(Uuid(high: 0, low: 1), 3)
        let topicId = [UInt8](repeating: 0, count: 15) + [1]
        #expect(
            records.currentAssignment(member).encoded().value
                == [0, 0] + [0, 0, 0, 5] + [0, 0, 0, 4] + [2] + [2] + topicId + [2, 0, 0, 0, 3, 0] + [1] + [0])
    }

    @Test func unknownKindsAreSkippedAndDamagedRecordsAreNot() throws {
        var shard = GroupCoordinatorShard(
            configuration: GroupConfiguration(), patternMatcher: PrefixPatternMatcher())
        try shard.replay(key: [0, 11, 0, 1, 0x67], value: [0, 0], by: nil)
        try shard.replay(key: [0, 11, 0, 1, 0x68], value: nil, by: nil)
        #expect(shard.skippedKeyVersions == [11: 2])
        #expect(throws: ProtocolDecodingError.truncated) { try shard.replay(key: [0], value: nil, by: nil) }
        #expect(throws: ProtocolDecodingError.self) {
            try shard.replay(key: [0, 2, 0, 1, 0x67], value: [0, 3, 0], by: nil)
        }
        #expect(throws: ProtocolDecodingError.unsupportedVersion) {
            try shard.replay(key: [0, 2, 0, 1, 0x67], value: [0, 9, 0], by: nil)
        }
    }

    @Test func tombstonesOfUnknownThingsAreNoError() throws {
        let harness = ShardHarness()
        let records = ConsumerGroupRecords(groupId: "g")
        harness.log = [
            records.currentAssignmentTombstone("m"), records.target("m", nil), records.memberMetadataTombstone("m"),
            records.assignmentEpoch(nil), records.subscriptionMetadata(nil), records.groupEpoch(nil),
            ClassicGroup(groupId: "g").tombstone, CommittedOffset.tombstone(group: "g", topic: "t", partition: 0),
        ].map { $0.encoded() }
        harness.restart()
        #expect(harness.shard.classicGroups.isEmpty && harness.shard.consumerGroups.isEmpty)
        #expect(harness.shard.offsets == OffsetStore())
    }
}
