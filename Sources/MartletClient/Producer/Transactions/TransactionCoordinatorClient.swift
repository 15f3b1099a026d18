import KafkaProtocol

/// Asks a transaction's coordinator, and tries again while that can help: a coordinator that moves, loads or restarts is
/// waited for.
struct TransactionCoordinatorClient: Sendable {
    let cluster: Cluster
    let transactionalId: String
    let transactionTimeout: Duration
    /// How long one operation may take with its retries.
    let timeout: Duration
    let maximumVersion: Int16

    private var route: Cluster.Route { .transactionCoordinator(transactionalId) }
    private var subject: String { "transactional id '\(transactionalId)'" }

    /// Which way of transactions the cluster has agreed on.
    func version() async throws(ClientError) -> TransactionState.Version {
        let cluster = cluster
        let route = route
        let versions = try await retrying(route) { () async throws(ClientError) in
            try await cluster.connection(route).versions
        }
        let isNew =
            maximumVersion >= 2 && versions.featureLevel("transaction.version") >= 2
            && versions.version(for: EndTxnRequest.self) ?? 0 >= 5
            && versions.version(for: TxnOffsetCommitRequest.self) ?? 0 >= 5
            && versions.version(for: ProduceRequest.self) ?? 0 >= 12
        return isNew ? .brokerAdds : .clientAdds
    }

    /// The producer's numbers, or, from `current`, the next epoch. Ends what an earlier producer of the same id left open.
    func initialize(from current: ProducerIdentity?) async throws(ClientError) -> ProducerIdentity {
        var request = InitProducerIdRequest()
        request.transactionalId = transactionalId
        request.transactionTimeoutMs = Int32(clamping: transactionTimeout.milliseconds)
        var asked = request
        if let current {
            asked.producerId = current.id
            asked.producerEpoch = current.epoch
        }
        let plain = request
        let bumping = asked
        let cluster = cluster
        let route = route
        let response = try await retrying(route) { () async throws(ClientError) in
            let connection = try await cluster.connection(route)
            // Before version 3 the epoch cannot be asked for; the coordinator raises it all the same (KIP-360).
            let canBump = connection.version(of: InitProducerIdRequest.self) ?? 0 >= 3
            return try await connection.send(canBump ? bumping : plain, maximumVersion: 5)
        } code: {
            $0.errorCode
        }
        return ProducerIdentity(id: response.producerId, epoch: response.producerEpoch)
    }

    /// Tells the coordinator of partitions (transaction version 1).
    func add(_ partitions: [TopicPartition], _ identity: ProducerIdentity) async throws(ClientError) {
        var request = AddPartitionsToTxnRequest()
        request.v3AndBelowTransactionalId = transactionalId
        request.v3AndBelowProducerId = identity.id
        request.v3AndBelowProducerEpoch = identity.epoch
        request.v3AndBelowTopics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
            var topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            topic.name = name
            topic.partitions = partitions.map(\.partition)
            return topic
        }
        _ = try await send(request, maximumVersion: 3) { response in
            let codes = response.resultsByTopicV3AndBelow.flatMap { topic in
                topic.resultsByPartition.map(\.partitionErrorCode)
            }
            // What was not tried because of another partition says nothing.
            return codes.first { $0 != 0 && $0 != ErrorCode.operationNotAttempted.rawValue }
                ?? codes.first { $0 != 0 } ?? 0
        }
    }

    /// Ends the transaction. With version 2 the answer is the identity of the next one.
    func end(
        _ identity: ProducerIdentity, commit: Bool, version: TransactionState.Version
    ) async throws(ClientError) -> ProducerIdentity {
        var request = EndTxnRequest()
        request.transactionalId = transactionalId
        request.producerId = identity.id
        request.producerEpoch = identity.epoch
        request.committed = commit
        let response = try await send(request, maximumVersion: version == .brokerAdds ? 5 : 4) { $0.errorCode }
        guard version == .brokerAdds, response.producerId >= 0 else { return identity }
        return ProducerIdentity(id: response.producerId, epoch: response.producerEpoch)
    }

    /// Tells the coordinator that a group's offsets belong to the transaction (transaction version 1).
    func addOffsets(of group: ConsumerGroupMetadata, _ identity: ProducerIdentity) async throws(ClientError) {
        var request = AddOffsetsToTxnRequest()
        request.transactionalId = transactionalId
        request.producerId = identity.id
        request.producerEpoch = identity.epoch
        request.groupId = group.groupId
        _ = try await send(request, maximumVersion: 4) { $0.errorCode }
    }

    /// Sends a group's offsets along with the transaction.
    func sendOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], of group: ConsumerGroupMetadata, _ identity: ProducerIdentity,
        version: TransactionState.Version
    ) async throws(ClientError) {
        var request = TxnOffsetCommitRequest()
        request.transactionalId = transactionalId
        request.groupId = group.groupId
        request.producerId = identity.id
        request.producerEpoch = identity.epoch
        request.generationId = group.generation
        request.memberId = group.memberId
        request.groupInstanceId = group.groupInstanceId
        request.topics = Dictionary(grouping: offsets, by: \.key.topic).map { name, offsets in
            var topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
            topic.name = name
            topic.partitions = offsets.map { partition, offset in
                var entry = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
                entry.partitionIndex = partition.partition
                entry.committedOffset = offset.offset
                entry.committedLeaderEpoch = offset.leaderEpoch ?? -1
                entry.committedMetadata = offset.metadata
                return entry
            }
            return topic
        }
        let commit = request
        let route = Cluster.Route.coordinator(group: group.groupId)
        let cluster = cluster
        _ = try await retrying(route) { () async throws(ClientError) in
            try await cluster.connection(route).send(commit, maximumVersion: version == .brokerAdds ? 5 : 4)
        } code: { response in
            response.topics.lazy.flatMap(\.partitions).map(\.errorCode).first { $0 != 0 } ?? 0
        }
    }

    // MARK: Retries

    private func send<Request: ProtocolRequest>(
        _ request: Request, maximumVersion: Int16, code: (Request.Response) -> Int16
    ) async throws(ClientError) -> Request.Response {
        let cluster = cluster
        let route = route
        return try await retrying(route) { () async throws(ClientError) in
            try await cluster.connection(route).send(request, maximumVersion: maximumVersion)
        } code: {
            code($0)
        }
    }

    /// Tries until `timeout`. Each request may be repeated: the coordinator recognizes it by the producer's epoch.
    private func retrying<Value: Sendable>(
        _ route: Cluster.Route, _ operation: () async throws(ClientError) -> Value, code: (Value) -> Int16 = { _ in 0 }
    ) async throws(ClientError) -> Value {
        let deadline = ContinuousClock.now + timeout
        var attempt = 1
        while true {
            let failure: ClientError
            do throws(ClientError) {
                let value = try await operation()
                let code = ErrorCode(rawValue: code(value))
                if code == .none { return value }
                failure = .refused(code, subject)
            } catch {
                failure = error
            }
            switch failure.protocolCode.map(TransactionVerdict.init) {
            case .fenced?:
                throw ClientError(
                    .fenced, "\(subject) was taken over by another producer", protocolCode: failure.protocolCode,
                    isFatal: true)
            case .fatal?: throw failure.fatal()
            case .abort?:
                throw ClientError(
                    .transactionAborted, failure.message, nextStep: failure.nextStep,
                    protocolCode: failure.protocolCode)
            case .retry?: break
            case nil where failure.isRetriable: break
            case nil: throw failure
            }
            // The end of the transaction before takes a moment; everything else longer.
            var pause = cluster.options.backoff.delay(after: attempt)
            if failure.protocolCode == .concurrentTransactions { pause = min(pause, .milliseconds(20)) }
            guard ContinuousClock.now + pause < deadline else { throw failure }
            await cluster.forget(route, after: failure)
            do {
                try await Task.sleep(for: pause)
            } catch {
                throw ClientError(.cancelled, "cancelled")
            }
            attempt += 1
        }
    }
}
