import CoordinatorCore
import KafkaProtocol

/// Offsets that are committed with a transaction (KIP-98, KIP-447).
extension GroupCoordinatorShard {
    /// To be taken before the coordinator of a producer's transaction is asked whether that is open, and handed in with
    /// the commit.
    package var transactionGuard: TransactionGuard {
        TransactionGuard(loadedAt: loadedAt, endCount: producers.endCount)
    }

    mutating func commitOffsets(
        _ request: TxnOffsetCommitRequest, _ transactionGuard: TransactionGuard
    ) -> TxnOffsetCommitResponse {
        // Of the ends that another shard saw nothing is known here; the client asks again.
        guard transactionGuard.loadedAt == loadedAt else { return .failure(request, .coordinatorLoadInProgress) }
        let producer = TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
        if let code = producers.refusal(of: producer, endCount: transactionGuard.endCount) ?? validate(request) {
            return .failure(request, code)
        }
        let plain = request.withoutTransaction
        guard Self.recordBytes(of: plain) <= GroupLimits.commitBytes else {
            return .failure(request, .invalidCommitOffsetSize)
        }
        effects.producer = producer
        return TxnOffsetCommitResponse(commitTopics(of: plain, usesTopicIds: false))
    }

    private func validate(_ request: TxnOffsetCommitRequest) -> ErrorCode? {
        guard !request.groupId.isEmpty, GroupLimits.accepts(identifier: request.groupId) else { return .invalidGroupId }
        if let group = classicGroups[request.groupId] { return group.validateCommit(request) }
        if let group = consumerGroups[request.groupId] { return group.validateCommit(request) }
        return request.generationId < 0 ? nil : .illegalGeneration
    }

    mutating func endTransaction(_ end: TransactionEnd) -> ErrorCode {
        if let code = producers.refusal(of: end) { return code }
        apply(end, now: effects.now)
        effects.endOfTransaction = end
        return .none
    }
}

extension TxnOffsetCommitRequest {
    /// Before version 3 a commit says nothing about who reads (KIP-447).
    var namesNobody: Bool { generationId < 0 && memberId.isEmpty && groupInstanceId == nil }

    var withoutTransaction: OffsetCommitRequest {
        var plain = OffsetCommitRequest()
        plain.groupId = groupId
        plain.retentionTimeMs = -1
        plain.topics = topics.map { topic in
            var named = OffsetCommitRequest.OffsetCommitRequestTopic()
            named.name = topic.name
            named.partitions = topic.partitions.map { partition in
                var single = OffsetCommitRequest.OffsetCommitRequestPartition()
                single.partitionIndex = partition.partitionIndex
                single.committedOffset = partition.committedOffset
                single.committedLeaderEpoch = partition.committedLeaderEpoch
                single.committedMetadata = partition.committedMetadata
                return single
            }
            return named
        }
        return plain
    }
}

extension TxnOffsetCommitResponse {
    init(_ plain: OffsetCommitResponse) {
        self.init()
        topics = plain.topics.map { topic in
            var named = TxnOffsetCommitResponseTopic()
            named.name = topic.name
            named.partitions = topic.partitions.map { partition in
                var result = TxnOffsetCommitResponsePartition()
                result.partitionIndex = partition.partitionIndex
                result.errorCode = partition.errorCode
                return result
            }
            return named
        }
    }

    /// The same error for all partitions.
    package static func failure(_ request: TxnOffsetCommitRequest, _ code: ErrorCode) -> TxnOffsetCommitResponse {
        TxnOffsetCommitResponse(.failure(request.withoutTransaction, code))
    }

    func failed(_ code: ErrorCode) -> TxnOffsetCommitResponse {
        var response = self
        for topic in response.topics.indices {
            for partition in response.topics[topic].partitions.indices {
                response.topics[topic].partitions[partition].errorCode = code.rawValue
            }
        }
        return response
    }
}

extension ClassicGroup {
    /// Unlike a plain commit it is taken from outside, and in a generation that has no assignment yet.
    func validateCommit(_ request: TxnOffsetCommitRequest) -> ErrorCode? {
        if request.namesNobody || (request.generationId < 0 && state == .empty) { return nil }
        if let code = validate(memberId: request.memberId, instanceId: request.groupInstanceId) { return code }
        return request.generationId == generationId ? nil : .illegalGeneration
    }
}

extension ConsumerGroup {
    func validateCommit(_ request: TxnOffsetCommitRequest) -> ErrorCode? {
        if request.namesNobody || (request.generationId < 0 && members.isEmpty) { return nil }
        guard let member = members[request.memberId] else { return .unknownMemberId }
        // The protocol has no word for a stale epoch here.
        return request.generationId == member.memberEpoch ? nil : .illegalGeneration
    }
}
