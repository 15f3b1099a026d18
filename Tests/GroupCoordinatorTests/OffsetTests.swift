import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct OffsetTests {
    private let topics = TopicsImage.numbered(4, 2)

    @Test func standaloneCommitsMakeASimpleGroup() {
        let harness = ShardHarness(topics: topics)
        #expect(harness.fetch() == -1)
        #expect(harness.commit(offset: 42) == .none)
        #expect(harness.fetch() == 42)
        #expect(harness.describe().groupState == "Empty")
        harness.restart()
        #expect(harness.fetch() == 42)
        #expect(harness.fetch(partition: 1) == -1)
    }

    @Test func memberCommitsAreChecked() {
        let harness = ShardHarness(topics: topics)
        #expect(harness.commit(offset: 1, memberId: "m", generation: 3) == .groupIdNotFound)
        #expect(harness.commit(offset: 1, memberId: "m", generation: 3, version: 8) == .illegalGeneration)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        let member = clients[0].memberId
        #expect(harness.commit(offset: 1, memberId: member, generation: 1) == .none)
        #expect(harness.commit(offset: 2, memberId: member, generation: 2) == .illegalGeneration)
        #expect(harness.commit(offset: 2, memberId: "other", generation: 1) == .unknownMemberId)
        #expect(harness.commit(offset: 2) == .unknownMemberId)
        #expect(harness.fetch() == 1)
        // A rebalance lets members finish; a generation without assignment does not.
        let rejoin = clients[0].join(harness)
        clients[0].take(harness.join(rejoin))
        #expect(harness.commit(offset: 3, memberId: member, generation: 2) == .rebalanceInProgress)
    }

    @Test func commitKeepsAMemberAlive() {
        let harness = ShardHarness(topics: topics)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        harness.advance(by: 9_000)
        #expect(harness.commit(offset: 1, memberId: clients[0].memberId, generation: 1) == .none)
        harness.advance(by: 9_000)
        #expect(clients[0].heartbeat(harness) == .none)
    }

    @Test func metadataHasALimit() {
        let harness = ShardHarness(topics: topics)
        let fits = String(repeating: "x", count: 4_096)
        #expect(harness.commit(offset: 1, metadata: fits) == .none)
        #expect(harness.commit(offset: 2, metadata: fits + "x") == .offsetMetadataTooLarge)
        #expect(harness.fetchGroup(topics: [("t0", [0])]).topics[0].partitions[0].metadata == fits)
        #expect(harness.fetch() == 1)
    }

    @Test func commitsThatNoBatchHoldsAreRefused() {
        let harness = ShardHarness(topics: topics)
        var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
        topic.name = "t0"
        topic.partitions = (Int32(0)..<300).map { index in
            var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
            partition.partitionIndex = index
            partition.committedMetadata = String(repeating: "x", count: 4_000)
            return partition
        }
        var request = OffsetCommitRequest()
        request.groupId = "group"
        request.topics = [topic]
        #expect(harness.commitError(harness.send(.offsetCommit(request), version: 9)) == .invalidCommitOffsetSize)
        #expect(harness.log.isEmpty)
        request.topics[0].partitions.removeLast(100)
        #expect(harness.commitError(harness.send(.offsetCommit(request), version: 9)) == ErrorCode.none)
    }

    @Test func unknownTopicsAreRefused() {
        let harness = ShardHarness(topics: topics)
        #expect(harness.commit(topic: "nope", offset: 1) == .unknownTopicOrPartition)
        #expect(harness.commit(topic: "nope", offset: 1, version: 10) == .unknownTopicId)
        #expect(harness.commit(topic: "t1", offset: 5, version: 10) == .none)
        #expect(harness.fetch(topic: "t1") == 5)
        let byId = harness.fetchGroup(topics: [("t1", [0]), ("nope", [0])], version: 10)
        #expect(byId.topics[0].partitions[0].committedOffset == 5)
        #expect(byId.topics[0].topicId == Uuid(high: 0, low: 2))
        #expect(byId.topics[1].partitions[0].errorCode == ErrorCode.unknownTopicId.rawValue)
    }

    @Test func fetchOfAllTopics() {
        let harness = ShardHarness(topics: topics)
        _ = harness.commit(topic: "t1", partition: 1, offset: 7)
        _ = harness.commit(topic: "t0", partition: 3, offset: 8)
        _ = harness.commit(topic: "t0", partition: 0, offset: 9)
        let all = harness.fetchGroup(topics: nil)
        #expect(all.topics.map(\.name) == ["t0", "t1"])
        #expect(all.topics[0].partitions.map(\.committedOffset) == [9, 8])
        #expect(harness.fetchGroup("nobody", topics: nil).topics.isEmpty)
        let byId = harness.fetchGroup(topics: nil, version: 10)
        #expect(byId.topics.map(\.topicId) == [Uuid(high: 0, low: 1), Uuid(high: 0, low: 2)])
    }

    @Test(arguments: [Int16(1), 2, 7]) func oldFetchRequests(version: Int16) {
        let harness = ShardHarness(topics: topics)
        _ = harness.commit(offset: 7)
        var request = OffsetFetchRequest()
        request.groupId = "group"
        var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
        topic.name = "t0"
        topic.partitionIndexes = [0, 1]
        request.topics = [topic]
        let token = harness.send(.offsetFetch(request), version: version)
        guard case .offsetFetch(let response)? = harness.replies[token] else {
            Issue.record("no reply")
            return
        }
        #expect(response.topics[0].partitions.map(\.committedOffset) == [7, -1])
        #expect(response.groups.isEmpty)
    }

    @Test func consumerGroupMembersCommitUnderTheirEpoch() {
        let harness = ShardHarness(topics: topics)
        var client = ConsumerClient("m")
        client.heartbeat(harness)
        #expect(client.epoch == 1)
        #expect(harness.commit(offset: 1, memberId: "m", generation: 1) == .none)
        #expect(harness.commit(offset: 2, memberId: "m", generation: 0) == .staleMemberEpoch)
        #expect(harness.commit(offset: 2, memberId: "m", generation: 1, version: 8) == .unsupportedVersion)
        #expect(harness.commit(offset: 2, memberId: "other", generation: 1) == .unknownMemberId)
        #expect(harness.commit(offset: 2) == .unknownMemberId)
        func fetchError(_ memberId: String?, _ epoch: Int32) -> ErrorCode {
            ErrorCode(
                rawValue: harness.fetchGroup(topics: nil, memberId: memberId, memberEpoch: epoch).errorCode)
        }
        #expect(fetchError(nil, -1) == .none)
        #expect(fetchError("m", 1) == .none)
        #expect(fetchError("m", 0) == .staleMemberEpoch)
        #expect(fetchError("other", 1) == .unknownMemberId)
        client.leave(harness)
        #expect(harness.commit(offset: 3) == .none)
        #expect(harness.fetch() == 3)
    }

    // MARK: Deletion

    private func delete(_ harness: ShardHarness, topic: String, _ partitions: [Int32]) -> OffsetDeleteResponse {
        var named = OffsetDeleteRequest.OffsetDeleteRequestTopic()
        named.name = topic
        named.partitions = partitions.map { index in
            var partition = OffsetDeleteRequest.OffsetDeleteRequestPartition()
            partition.partitionIndex = index
            return partition
        }
        var request = OffsetDeleteRequest()
        request.groupId = "group"
        request.topics = [named]
        let token = harness.send(.offsetDelete(request), version: 0)
        guard case .offsetDelete(let response)? = harness.replies[token] else { fatalError("no reply") }
        return response
    }

    @Test func offsetsOfSubscribedTopicsCannotBeDeleted() {
        let harness = ShardHarness(topics: topics)
        #expect(delete(harness, topic: "t0", [0]).errorCode == ErrorCode.groupIdNotFound.rawValue)
        _ = harness.commit(topic: "t0", offset: 1)
        _ = harness.commit(topic: "t1", offset: 2)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        let subscribed = delete(harness, topic: "t0", [0])
        #expect(subscribed.topics[0].partitions[0].errorCode == ErrorCode.groupSubscribedToTopic.rawValue)
        #expect(harness.fetch(topic: "t0") == 1)
        let other = delete(harness, topic: "t1", [0, 1])
        #expect(other.topics[0].partitions.map(\.errorCode) == [0, 0])
        #expect(harness.fetch(topic: "t1") == -1)
    }

    @Test func groupsOfOtherProtocolTypesAreProtected() {
        let harness = ShardHarness(topics: topics)
        var clients = [ClassicClient("a")]
        clients[0].protocolType = "connect"
        harness.stabilize(&clients)
        #expect(delete(harness, topic: "t1", [0]).errorCode == ErrorCode.nonEmptyGroup.rawValue)
    }

    @Test func deletedTopicsTakeTheirOffsetsAlong() {
        let harness = ShardHarness(topics: topics)
        _ = harness.commit(topic: "t0", offset: 1)
        _ = harness.commit(topic: "t1", offset: 2)
        var changed = topics
        changed.remove(name: "t1")
        harness.setTopics(changed)
        #expect(harness.fetch(topic: "t1") == -1)
        // A recreated topic is another topic.
        changed.insert(.init(id: Uuid(high: 7, low: 7), name: "t0", partitionCount: 4))
        harness.setTopics(changed)
        #expect(harness.fetch(topic: "t0") == -1)
        harness.restart()
        #expect(harness.fetch(topic: "t0") == -1)
    }
}
