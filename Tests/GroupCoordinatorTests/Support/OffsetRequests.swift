import CoordinatorCore
import KafkaProtocol

@testable import GroupCoordinator

extension ShardHarness {
    /// Commits one offset; returns the partition's error.
    func commit(
        _ groupId: String = "group", topic: String = "t0", partition: Int32 = 0, offset: Int64,
        memberId: String = "", generation: Int32 = -1, instanceId: String? = nil, metadata: String? = nil,
        retentionMs: Int64 = -1, version: Int16 = 9
    ) -> ErrorCode {
        let token = sendCommit(
            groupId, topic: topic, partition: partition, offset: offset, memberId: memberId, generation: generation,
            instanceId: instanceId, metadata: metadata, retentionMs: retentionMs, version: version)
        return commitError(token)!
    }

    func sendCommit(
        _ groupId: String = "group", topic: String = "t0", partition: Int32 = 0, offset: Int64,
        memberId: String = "", generation: Int32 = -1, instanceId: String? = nil, metadata: String? = nil,
        retentionMs: Int64 = -1, version: Int16 = 9
    ) -> RequestToken {
        var request = OffsetCommitRequest()
        request.groupId = groupId
        request.memberId = memberId
        request.generationIdOrMemberEpoch = generation
        request.groupInstanceId = instanceId
        request.retentionTimeMs = retentionMs
        var single = OffsetCommitRequest.OffsetCommitRequestPartition()
        single.partitionIndex = partition
        single.committedOffset = offset
        single.committedMetadata = metadata
        var named = OffsetCommitRequest.OffsetCommitRequestTopic()
        if version >= 10 {
            named.topicId = topics.topicsByName[topic]?.id ?? Uuid(high: 9, low: 9)
        } else {
            named.name = topic
        }
        named.partitions = [single]
        request.topics = [named]
        return send(.offsetCommit(request), version: version)
    }

    func commitError(_ token: RequestToken) -> ErrorCode? {
        guard case .offsetCommit(let response)? = replies[token] else { return nil }
        return ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
    }

    /// The committed offset, -1 for none.
    func fetch(_ groupId: String = "group", topic: String = "t0", partition: Int32 = 0) -> Int64 {
        fetchGroup(groupId, topics: [(topic, [partition])]).topics[0].partitions[0].committedOffset
    }

    func fetchGroup(
        _ groupId: String = "group", topics requested: [(String, [Int32])]?, memberId: String? = nil,
        memberEpoch: Int32 = -1, version: Int16 = 9
    ) -> OffsetFetchResponse.OffsetFetchResponseGroup {
        var group = OffsetFetchRequest.OffsetFetchRequestGroup()
        group.groupId = groupId
        group.memberId = memberId
        group.memberEpoch = memberEpoch
        group.topics = requested.map { topics in
            topics.map { name, partitions in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
                if version >= 10 {
                    topic.topicId = self.topics.topicsByName[name]?.id ?? Uuid(high: 9, low: 9)
                } else {
                    topic.name = name
                }
                topic.partitionIndexes = partitions
                return topic
            }
        }
        var request = OffsetFetchRequest()
        request.groups = [group]
        let token = send(.offsetFetch(request), version: version)
        guard case .offsetFetch(let response)? = replies[token] else { fatalError("no reply") }
        return response.groups[0]
    }
}
