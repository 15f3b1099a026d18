import CoordinatorCore
import KafkaProtocol

/// Reads of committed offsets. With `require_stable` an offset that an open transaction may replace is not told
/// (KIP-447).
extension GroupCoordinatorShard {
    func fetchOffsets(_ request: OffsetFetchRequest, _ context: CoordinatorRequestContext) -> OffsetFetchResponse {
        guard context.apiVersion < 8 else {
            var response = OffsetFetchResponse()
            response.groups = request.groups.map {
                fetchOffsets($0, requireStable: request.requireStable, apiVersion: context.apiVersion)
            }
            return response
        }
        return OffsetFetchResponse(
            of: fetchOffsets(
                request.singleGroup, requireStable: request.requireStable, apiVersion: context.apiVersion))
    }

    private func fetchOffsets(
        _ request: OffsetFetchRequest.OffsetFetchRequestGroup, requireStable: Bool, apiVersion: Int16
    ) -> OffsetFetchResponse.OffsetFetchResponseGroup {
        if let code = validateFetch(request) { return .failure(request, code) }
        var response = OffsetFetchResponse.OffsetFetchResponseGroup()
        response.groupId = request.groupId
        response.topics =
            request.topics.map { topics in
                topics.map {
                    fetchTopic($0, group: request.groupId, requireStable: requireStable, apiVersion: apiVersion)
                }
            } ?? fetchAllTopics(of: request.groupId, requireStable: requireStable, apiVersion: apiVersion)
        return response
    }

    /// A member may say who it is, so that one that was fenced does not read offsets that its successor moves on. A
    /// group that does not exist has no offsets, which is no error.
    private func validateFetch(_ request: OffsetFetchRequest.OffsetFetchRequestGroup) -> ErrorCode? {
        guard let group = consumerGroups[request.groupId] else { return nil }
        if request.memberId == nil && request.memberEpoch < 0 { return nil }
        guard let member = group.members[request.memberId ?? ""] else { return .unknownMemberId }
        return request.memberEpoch == member.memberEpoch ? nil : .staleMemberEpoch
    }

    private func fetchTopic(
        _ topic: OffsetFetchRequest.OffsetFetchRequestTopics, group groupId: String, requireStable: Bool,
        apiVersion: Int16
    ) -> OffsetFetchResponse.OffsetFetchResponseTopics {
        var response = OffsetFetchResponse.OffsetFetchResponseTopics()
        response.name = topic.name
        response.topicId = topic.topicId
        let name = apiVersion >= 10 ? topics.topicsById[topic.topicId]?.name : topic.name
        response.partitions = topic.partitionIndexes.map { partition in
            guard let name else { return .unknown(partition, .unknownTopicId) }
            let offset = offsets.offset(group: groupId, topic: name, partition: partition)
            return fetched(offset, group: groupId, topic: name, partition, requireStable: requireStable)
        }
        return response
    }

    private func fetched(
        _ offset: CommittedOffset?, group groupId: String, topic: String, _ partition: Int32, requireStable: Bool
    ) -> OffsetFetchResponse.OffsetFetchResponsePartitions {
        if requireStable, producers.hasPendingOffset(group: groupId, topic: topic, partition: partition) {
            return .unknown(partition, .unstableOffsetCommit)
        }
        return offset.map { .committed(partition, $0) } ?? .unknown(partition)
    }

    private func fetchAllTopics(
        of groupId: String, requireStable: Bool, apiVersion: Int16
    ) -> [OffsetFetchResponse.OffsetFetchResponseTopics] {
        offsets.topics(of: groupId).sorted { $0.key < $1.key }.compactMap { name, partitions in
            var response = OffsetFetchResponse.OffsetFetchResponseTopics()
            response.name = name
            if apiVersion >= 10 {
                // A deleted topic cannot be named any more.
                guard let id = topics.topicsByName[name]?.id else { return nil }
                response.topicId = id
            }
            response.partitions = partitions.sorted { $0.key < $1.key }.map { partition, offset in
                fetched(offset, group: groupId, topic: name, partition, requireStable: requireStable)
            }
            return response
        }
    }
}

extension OffsetFetchResponse.OffsetFetchResponsePartitions {
    static func committed(_ partition: Int32, _ offset: CommittedOffset) -> Self {
        var response = Self()
        response.partitionIndex = partition
        response.committedOffset = offset.offset
        response.committedLeaderEpoch = offset.leaderEpoch
        response.metadata = offset.metadata
        return response
    }

    static func unknown(_ partition: Int32, _ code: ErrorCode = .none) -> Self {
        var response = Self()
        response.partitionIndex = partition
        response.committedOffset = -1
        response.committedLeaderEpoch = -1
        response.metadata = ""
        response.errorCode = code.rawValue
        return response
    }
}

extension OffsetFetchRequest {
    /// The group that a request before version 8 is about.
    fileprivate var singleGroup: OffsetFetchRequestGroup {
        var group = OffsetFetchRequestGroup()
        group.groupId = groupId
        group.topics = topics.map { topics in
            topics.map { topic in
                var named = OffsetFetchRequestTopics()
                named.name = topic.name
                named.partitionIndexes = topic.partitionIndexes
                return named
            }
        }
        return group
    }
}

extension OffsetFetchResponse.OffsetFetchResponseGroup {
    static func failure(_ request: OffsetFetchRequest.OffsetFetchRequestGroup, _ code: ErrorCode) -> Self {
        var response = Self()
        response.groupId = request.groupId
        response.errorCode = code.rawValue
        return response
    }

    /// The group's error stands at each partition too, which Kafka does in version 1 only, for clients that look nowhere
    /// else; who looks at the group's first sees no difference:
    ///
    /// - aiokafka 0.14 (version 3) takes a partition that is not in the reply for one without an offset, and would begin
    ///   where `auto.offset.reset` says;
    /// - librdkafka (from version 7) asks the coordinator that comes after this one only for partitions whose offsets are
    ///   unstable, and else never reads them (its issue 5586).
    fileprivate static func failure(
        _ request: OffsetFetchRequest.OffsetFetchRequestGroup, apiVersion: Int16, _ code: ErrorCode
    ) -> Self {
        var response = failure(request, code)
        response.topics = (request.topics ?? []).map { topic in
            var failed = OffsetFetchResponse.OffsetFetchResponseTopics()
            failed.name = topic.name
            failed.topicId = topic.topicId
            failed.partitions = topic.partitionIndexes.map {
                .unknown($0, apiVersion >= 7 ? code.besideGroups : code)
            }
            return failed
        }
        return response
    }
}

extension ErrorCode {
    /// What stands at partitions from version 7 on: that they may be asked for again, if they may.
    fileprivate var besideGroups: ErrorCode {
        switch self {
        case .notCoordinator, .coordinatorNotAvailable, .coordinatorLoadInProgress: .unstableOffsetCommit
        default: self
        }
    }
}

extension OffsetFetchResponse {
    /// As it is before version 8.
    fileprivate init(of group: OffsetFetchResponseGroup) {
        self.init()
        errorCode = group.errorCode
        topics = group.topics.map { topic in
            var single = OffsetFetchResponseTopic()
            single.name = topic.name
            single.partitions = topic.partitions.map { partition in
                var result = OffsetFetchResponsePartition()
                result.partitionIndex = partition.partitionIndex
                result.committedOffset = partition.committedOffset
                result.committedLeaderEpoch = partition.committedLeaderEpoch
                result.metadata = partition.metadata
                result.errorCode = partition.errorCode
                return result
            }
            return single
        }
    }

    static func failure(_ request: OffsetFetchRequest, apiVersion: Int16, _ code: ErrorCode) -> OffsetFetchResponse {
        guard apiVersion >= 8 else {
            return OffsetFetchResponse(of: .failure(request.singleGroup, apiVersion: apiVersion, code))
        }
        var response = OffsetFetchResponse()
        response.groups = request.groups.map { .failure($0, apiVersion: apiVersion, code) }
        return response
    }

    func failed(_ code: ErrorCode) -> OffsetFetchResponse {
        var response = OffsetFetchResponse()
        response.errorCode = code.rawValue
        response.topics = topics
        for topic in response.topics.indices {
            for partition in response.topics[topic].partitions.indices {
                response.topics[topic].partitions[partition].committedOffset = -1
                response.topics[topic].partitions[partition].errorCode = code.rawValue
            }
        }
        response.groups = groups.map { $0.failed(code) }
        return response
    }
}

extension OffsetFetchResponse.OffsetFetchResponseGroup {
    fileprivate func failed(_ code: ErrorCode) -> Self {
        var response = self
        response.errorCode = code.rawValue
        for topic in response.topics.indices {
            response.topics[topic].partitions = topics[topic].partitions.map {
                .unknown($0.partitionIndex, code.besideGroups)
            }
        }
        return response
    }
}
