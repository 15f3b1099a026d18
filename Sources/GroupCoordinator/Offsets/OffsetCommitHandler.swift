import CoordinatorCore
import KafkaProtocol

extension GroupCoordinatorShard {
    mutating func commitOffsets(
        _ request: OffsetCommitRequest, _ context: CoordinatorRequestContext
    ) -> OffsetCommitResponse {
        if let code = validateCommit(request, apiVersion: context.apiVersion) { return .failure(request, code) }
        guard Self.recordBytes(of: request) <= GroupLimits.commitBytes else {
            return .failure(request, .invalidCommitOffsetSize)
        }
        return commitTopics(of: request, usesTopicIds: context.apiVersion >= 10)
    }

    /// Commits what can be committed; the rest gets its error.
    mutating func commitTopics(of request: OffsetCommitRequest, usesTopicIds: Bool) -> OffsetCommitResponse {
        let expireTimestamp = expireTimestamp(of: request)
        var response = OffsetCommitResponse()
        for topic in request.topics {
            var topicResponse = OffsetCommitResponse.OffsetCommitResponseTopic()
            topicResponse.name = topic.name
            topicResponse.topicId = topic.topicId
            let known = usesTopicIds ? topics.topicsById[topic.topicId] : topics.topicsByName[topic.name]
            for partition in topic.partitions {
                var result = OffsetCommitResponse.OffsetCommitResponsePartition()
                result.partitionIndex = partition.partitionIndex
                if let known {
                    if isTooLarge(partition.committedMetadata ?? "") {
                        result.errorCode = ErrorCode.offsetMetadataTooLarge.rawValue
                    } else {
                        commit(partition, topic: known.name, expireTimestamp, group: request.groupId)
                    }
                } else {
                    let code: ErrorCode = usesTopicIds ? .unknownTopicId : .unknownTopicOrPartition
                    result.errorCode = code.rawValue
                }
                topicResponse.partitions.append(result)
            }
            response.topics.append(topicResponse)
        }
        return response
    }

    private func expireTimestamp(of request: OffsetCommitRequest) -> Int64? {
        if request.retentionTimeMs == -1 { return nil }
        let (sum, overflow) = effects.now.addingReportingOverflow(request.retentionTimeMs)
        return overflow ? .max : sum
    }

    private func isTooLarge(_ metadata: String) -> Bool {
        metadata.utf16.count > Int(configuration.offsetMetadataMaxBytes)
            || metadata.utf8.count > GroupLimits.stringBytes
    }

    /// An upper bound: 96 bytes are more than the fixed fields of a record and the name of a topic given by its id.
    static func recordBytes(of request: OffsetCommitRequest) -> Int {
        request.topics.reduce(0) { sum, topic in
            let fixed = request.groupId.utf8.count + max(topic.name.utf8.count, 249) + 96
            return topic.partitions.reduce(sum) { $0 + fixed + ($1.committedMetadata ?? "").utf8.count }
        }
    }

    private mutating func commit(
        _ partition: OffsetCommitRequest.OffsetCommitRequestPartition, topic: String, _ expireTimestamp: Int64?,
        group groupId: String
    ) {
        let offset = CommittedOffset(
            offset: partition.committedOffset, leaderEpoch: partition.committedLeaderEpoch,
            metadata: partition.committedMetadata ?? "",
            commitTimestamp: effects.now, expireTimestamp: expireTimestamp)
        write(offset.record(group: groupId, topic: topic, partition: partition.partitionIndex))
    }

    /// Why the commit is refused as a whole. A negative generation is a commit from outside the group's membership: a
    /// consumer that assigns itself, or a tool; it is accepted while the group has no members.
    private mutating func validateCommit(_ request: OffsetCommitRequest, apiVersion: Int16) -> ErrorCode? {
        guard GroupLimits.accepts(identifier: request.groupId) else { return .invalidGroupId }
        if let group = classicGroups[request.groupId] {
            if let code = group.validateCommit(request) { return code }
            if request.generationIdOrMemberEpoch >= 0 { group.scheduleSession(of: request.memberId, &effects) }
            return nil
        }
        if let group = consumerGroups[request.groupId] {
            return group.validateCommit(request, apiVersion: apiVersion)
        }
        if request.generationIdOrMemberEpoch < 0 { return nil }
        return apiVersion >= 9 ? .groupIdNotFound : .illegalGeneration
    }
}

extension ClassicGroup {
    func validateCommit(_ request: OffsetCommitRequest) -> ErrorCode? {
        let generation = request.generationIdOrMemberEpoch
        if generation < 0 && state == .empty { return nil }
        guard generation >= 0 || !request.memberId.isEmpty || request.groupInstanceId != nil else {
            // From outside, while the group has members.
            return .unknownMemberId
        }
        if let code = validate(memberId: request.memberId, instanceId: request.groupInstanceId) { return code }
        if generation != generationId { return .illegalGeneration }
        // The member does not have its assignment of this generation yet, so it cannot have read anything in it.
        return state == .completingRebalance ? .rebalanceInProgress : nil
    }
}

extension ConsumerGroup {
    func validateCommit(_ request: OffsetCommitRequest, apiVersion: Int16) -> ErrorCode? {
        if request.generationIdOrMemberEpoch < 0 && members.isEmpty { return nil }
        guard let member = members[request.memberId] else { return .unknownMemberId }
        // Older versions have no word for a stale epoch.
        if apiVersion < 9 { return .unsupportedVersion }
        return request.generationIdOrMemberEpoch == member.memberEpoch ? nil : .staleMemberEpoch
    }
}

extension OffsetCommitResponse {
    static func failure(_ request: OffsetCommitRequest, _ code: ErrorCode) -> OffsetCommitResponse {
        var response = OffsetCommitResponse()
        response.topics = request.topics.map { topic in
            var failed = OffsetCommitResponseTopic()
            failed.name = topic.name
            failed.topicId = topic.topicId
            failed.partitions = topic.partitions.map { partition in
                var result = OffsetCommitResponsePartition()
                result.partitionIndex = partition.partitionIndex
                result.errorCode = code.rawValue
                return result
            }
            return failed
        }
        return response
    }
}
