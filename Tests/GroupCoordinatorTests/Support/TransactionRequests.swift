import CoordinatorCore
import KafkaProtocol

@testable import GroupCoordinator

extension ShardHarness {
    /// Commits one offset in a transaction; returns the partition's error.
    func commitInTransaction(
        _ groupId: String = "group", topic: String = "t0", partition: Int32 = 0, offset: Int64, producer: Int64 = 7,
        epoch: Int16 = 0, memberId: String = "", generation: Int32 = -1, instanceId: String? = nil,
        metadata: String? = nil, guard transactionGuard: TransactionGuard? = nil
    ) -> ErrorCode {
        let token = sendCommitInTransaction(
            groupId, topic: topic, partition: partition, offset: offset, producer: producer, epoch: epoch,
            memberId: memberId, generation: generation, instanceId: instanceId, metadata: metadata,
            guard: transactionGuard)
        return transactionalCommitError(token)!
    }

    func sendCommitInTransaction(
        _ groupId: String = "group", topic: String = "t0", partition: Int32 = 0, offset: Int64, producer: Int64 = 7,
        epoch: Int16 = 0, memberId: String = "", generation: Int32 = -1, instanceId: String? = nil,
        metadata: String? = nil, guard transactionGuard: TransactionGuard? = nil
    ) -> RequestToken {
        var single = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
        single.partitionIndex = partition
        single.committedOffset = offset
        single.committedMetadata = metadata
        var named = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
        named.name = topic
        named.partitions = [single]
        var request = TxnOffsetCommitRequest()
        request.transactionalId = "transactional"
        request.groupId = groupId
        request.producerId = producer
        request.producerEpoch = epoch
        request.memberId = memberId
        request.generationId = generation
        request.groupInstanceId = instanceId
        request.topics = [named]
        return send(.txnOffsetCommit(request, guard: transactionGuard ?? shard.transactionGuard), version: 3)
    }

    func transactionalCommitError(_ token: RequestToken) -> ErrorCode? {
        guard case .txnOffsetCommit(let response)? = replies[token] else { return nil }
        return ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
    }

    func sendEnd(
        _ isCommit: Bool, producer: Int64 = 7, epoch: Int16 = 0, coordinator: Int32 = 0, version: Int16 = 0
    ) -> RequestToken {
        send(
            .endTransaction(
                TransactionEnd(
                    producerId: producer, producerEpoch: epoch, isCommit: isCommit, coordinatorEpoch: coordinator,
                    transactionVersion: version)), version: 1)
    }

    func end(
        _ isCommit: Bool, producer: Int64 = 7, epoch: Int16 = 0, coordinator: Int32 = 0, version: Int16 = 0
    ) -> ErrorCode {
        let token = sendEnd(isCommit, producer: producer, epoch: epoch, coordinator: coordinator, version: version)
        return endError(token)!
    }

    func endError(_ token: RequestToken) -> ErrorCode? {
        guard case .endTransaction(let code)? = replies[token] else { return nil }
        return code
    }

    /// What a reader gets who wants to know no offset that is about to change: the error, or the offset.
    func stableFetch(
        _ groupId: String = "group", topic: String = "t0", partition: Int32 = 0
    ) -> Result<Int64, ErrorCode> {
        var named = OffsetFetchRequest.OffsetFetchRequestTopic()
        named.name = topic
        named.partitionIndexes = [partition]
        var request = OffsetFetchRequest()
        request.groupId = groupId
        request.topics = [named]
        request.requireStable = true
        let token = send(.offsetFetch(request), version: 7)
        guard case .offsetFetch(let response)? = replies[token] else { fatalError("no reply") }
        let fetched = response.topics[0].partitions[0]
        if fetched.errorCode == 0 { return .success(fetched.committedOffset) }
        precondition(fetched.committedOffset == -1)
        return .failure(ErrorCode(rawValue: fetched.errorCode))
    }

    func deleteOffset(_ groupId: String = "group", topic: String = "t0", partition: Int32 = 0) -> ErrorCode {
        var single = OffsetDeleteRequest.OffsetDeleteRequestPartition()
        single.partitionIndex = partition
        var named = OffsetDeleteRequest.OffsetDeleteRequestTopic()
        named.name = topic
        named.partitions = [single]
        var request = OffsetDeleteRequest()
        request.groupId = groupId
        request.topics = [named]
        let token = send(.offsetDelete(request), version: 0)
        guard case .offsetDelete(let response)? = replies[token] else { return .none }
        return ErrorCode(rawValue: response.topics.first?.partitions[0].errorCode ?? response.errorCode)
    }

    func deleteGroup(_ groupId: String = "group") -> ErrorCode? {
        var request = DeleteGroupsRequest()
        request.groupsNames = [groupId]
        let token = send(.deleteGroups(request), version: 2)
        guard case .deleteGroups(let response)? = replies[token] else { return nil }
        return ErrorCode(rawValue: response.results[0].errorCode)
    }

    var groupIds: [String] {
        let token = send(.listGroups(ListGroupsRequest()), version: 5)
        guard case .listGroups(let response)? = replies[token] else { fatalError("no reply") }
        return response.groups.map(\.groupId)
    }
}
