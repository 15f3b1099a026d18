import KafkaProtocol

extension GroupMembership {
    /// Commits as the member that it is now. Throws `commitFailed` when the member is none any more, or, which is retriable,
    /// at once when the group is dividing its partitions anew: that may wait for the caller. Throws `timedOut` and the like
    /// when the coordinator cannot be reached within `default.api.timeout.ms`, and `refused`.
    package func commit(_ offsets: [TopicPartition: ConsumedOffset]) async throws(ClientError) {
        guard !offsets.isEmpty else { return }
        let losses = state.withLock { $0.losses }
        try await retrying { identity throws(ClientError) in
            // Others may have committed since: as who it is next, the member would set them back.
            guard identity.epoch >= 0, state.withLock({ $0.losses }) == losses else {
                throw ClientError(.commitFailed, "\(subject): not committed, because this consumer is no member now")
            }
            let response = try await send(commitRequest(offsets, identity))
            let errors = response.topics.flatMap { topic in
                topic.partitions.map {
                    (TopicPartition(topic.name, $0.partitionIndex), ErrorCode(rawValue: $0.errorCode))
                }
            }.filter { $0.1 != .none }
            // What is wrong with the member says more than that a topic is gone.
            guard let (partition, code) = errors.first(where: { $0.1 != .unknownTopicOrPartition }) ?? errors.first
            else { return }
            throw commitError(code, partition, identity)
        }
    }

    /// What the group has committed; partitions without an offset are left out. Waits for the end of transactions that
    /// commit offsets (KIP-447).
    package func committed(
        _ partitions: [TopicPartition]
    ) async throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        guard !partitions.isEmpty else { return [:] }
        return try await retrying { identity throws(ClientError) in
            let connection = try await cluster.connection(route)
            let version = connection.version(of: OffsetFetchRequest.self) ?? 0
            let response = try await connection.send(
                fetchRequest(partitions, identity, version: version), maximumVersion: 9)
            do throws(ClientError) {
                return try offsets(in: response)
            } catch  where error.protocolCode == .unknownMemberId || error.protocolCode == .fencedMemberEpoch {
                // The member learns of it, and asks again as who it is then.
                handle(.commitRefused(error.protocolCode!, identity))
                throw .refused(.staleMemberEpoch, subject)
            }
        }
    }

    private static let unknownTopicPatience: Duration = .seconds(3)

    private var subject: String { "group '\(configuration.groupId)'" }

    // MARK: Commit

    private func commitRequest(
        _ offsets: [TopicPartition: ConsumedOffset], _ identity: MemberIdentity
    ) -> OffsetCommitRequest {
        var request = OffsetCommitRequest()
        request.groupId = configuration.groupId
        request.memberId = identity.memberId
        request.generationIdOrMemberEpoch = identity.epoch
        request.groupInstanceId = configuration.groupInstanceId
        request.topics = Dictionary(grouping: offsets, by: \.key.topic).map { name, entries in
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            topic.name = name
            topic.partitions = entries.map { partition, offset in
                var entry = OffsetCommitRequest.OffsetCommitRequestPartition()
                entry.partitionIndex = partition.partition
                entry.committedOffset = offset.offset
                entry.committedLeaderEpoch = offset.leaderEpoch ?? -1
                entry.committedMetadata = offset.metadata ?? ""
                return entry
            }
            return topic
        }
        return request
    }

    private func send(_ request: OffsetCommitRequest) async throws(ClientError) -> OffsetCommitResponse {
        let (number, isLeaving) = state.withLock { state in
            state.lastCommit += 1
            return (state.lastCommit, state.leaveDeadline != nil)
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { $0.commits[number] = continuation }
                // The handler below may have found nothing to end.
                guard !Task.isCancelled else {
                    return finishCommit(number, .failure(ClientError(.cancelled, "cancelled")))
                }
                Task {
                    do throws(ClientError) {
                        let connection = try await cluster.connection(route)
                        finishCommit(number, .success(try await connection.send(request, maximumVersion: 9)))
                    } catch {
                        finishCommit(number, .failure(error))
                    }
                }
                if isLeaving { cutOff(number, at: .now + configuration.leaveTimeout) }
            }
        } onCancel: {
            finishCommit(number, .failure(ClientError(.cancelled, "cancelled")))
        }
        return try result.get()
    }

    /// The first end counts: the reply, the caller's cancellation, or the time that a member has that leaves.
    private func finishCommit(_ number: Int, _ result: Result<OffsetCommitResponse, ClientError>) {
        state.withLock { $0.commits.removeValue(forKey: number) }?.resume(returning: result)
    }

    /// Nobody waits for a commit longer than that once the member leaves, whatever the connection does.
    func cutOff(_ number: Int, at limit: ContinuousClock.Instant) {
        Task {
            guard await Self.sleep(until: limit) else { return }
            finishCommit(number, .failure(ClientError(.timedOut, "\(subject): the commit was not answered in time")))
        }
    }

    private func commitError(
        _ code: ErrorCode, _ partition: TopicPartition, _ identity: MemberIdentity
    ) -> ClientError {
        switch code {
        case .rebalanceInProgress:
            handle(.commitRefused(code, identity))
            return rebalanceError
        // The member is one of the next generation too, of which it learned too late for this commit.
        case .illegalGeneration where isPastGeneration(identity): return rebalanceError
        case .illegalGeneration, .unknownMemberId, .fencedMemberEpoch:
            handle(.commitRefused(code, identity))
            return ClientError(
                .commitFailed, "\(subject): not committed, because the partitions have been divided anew",
                protocolCode: code)
        case .fencedInstanceId:
            handle(.commitRefused(code, identity))
            return ClientError.refused(code, subject).fatal()
        default: return .refused(code, "\(subject), \(partition)")
        }
    }

    private func isPastGeneration(_ identity: MemberIdentity) -> Bool {
        state.withLock { state in
            let current = state.machine.identity
            return state.machine.isBetweenGenerations
                || (current.memberId == identity.memberId && current.epoch > identity.epoch)
        }
    }

    /// As Kafka's `RebalanceInProgressException`.
    private var rebalanceError: ClientError {
        ClientError(
            .commitFailed, "\(subject): not committed, because the partitions are being divided anew",
            nextStep: "ask for records, so that this can end, and commit again", protocolCode: .rebalanceInProgress)
    }

    // MARK: Fetch

    private func fetchRequest(
        _ partitions: [TopicPartition], _ identity: MemberIdentity, version: Int16
    ) -> OffsetFetchRequest {
        var request = OffsetFetchRequest()
        let topics = ConsumerProtocol.grouped(partitions)
        request.requireStable = version >= 7
        guard version >= 8 else {
            request.groupId = configuration.groupId
            request.topics = topics.map { name, indexes in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
                topic.name = name
                topic.partitionIndexes = indexes
                return topic
            }
            return request
        }
        var group = OffsetFetchRequest.OffsetFetchRequestGroup()
        group.groupId = configuration.groupId
        if version >= 9, configuration.groupProtocol == .consumer, identity.epoch >= 0 {
            group.memberId = identity.memberId
            group.memberEpoch = identity.epoch
        }
        group.topics = topics.map { name, indexes in
            var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
            topic.name = name
            topic.partitionIndexes = indexes
            return topic
        }
        request.groups = [group]
        return request
    }

    private func offsets(
        in response: OffsetFetchResponse
    ) throws(ClientError) -> [TopicPartition: ConsumedOffset] {
        let group = response.groups.first
        if let error = ClientError.from(group?.errorCode ?? response.errorCode, subject) { throw error }
        var offsets: [TopicPartition: ConsumedOffset] = [:]
        func add(
            _ topic: String, _ partition: Int32, _ code: Int16, _ offset: Int64, _ epoch: Int32, _ metadata: String?
        ) throws(ClientError) {
            if let error = ClientError.from(code, "\(subject), \(topic)-\(partition)") { throw error }
            guard offset >= 0 else { return }
            offsets[TopicPartition(topic, partition)] = ConsumedOffset(
                offset, leaderEpoch: epoch >= 0 ? epoch : nil, metadata: metadata)
        }
        for topic in group?.topics ?? [] {
            for entry in topic.partitions {
                try add(
                    topic.name, entry.partitionIndex, entry.errorCode, entry.committedOffset,
                    entry.committedLeaderEpoch, entry.metadata)
            }
        }
        for topic in response.topics {
            for entry in topic.partitions {
                try add(
                    topic.name, entry.partitionIndex, entry.errorCode, entry.committedOffset,
                    entry.committedLeaderEpoch, entry.metadata)
            }
        }
        return offsets
    }

    // MARK: Retries

    /// Tries with who the member is at the time, while that can help.
    private func retrying<Value>(
        _ operation: (MemberIdentity) async throws(ClientError) -> Value
    ) async throws(ClientError) -> Value {
        let end = ContinuousClock.now + cluster.options.operationTimeout
        // A coordinator may learn of a topic later than who reads it, but not much.
        let unknownEnd = ContinuousClock.now + Self.unknownTopicPatience
        var attempt = 1
        while true {
            do throws(ClientError) {
                return try await operation(identity)
            } catch {
                let error: ClientError = error
                // The heartbeat's reply with the next epoch is on its way.
                let isStale = error.protocolCode == .staleMemberEpoch
                guard isStale || (error.isRetriable && error.code != .commitFailed) else { throw error }
                let isUnknown = error.protocolCode == .unknownTopicOrPartition
                let pause = cluster.options.backoff.delay(after: attempt)
                let limit = [state.withLock { $0.leaveDeadline } ?? end, isUnknown ? unknownEnd : end].min()!
                guard ContinuousClock.now + pause < limit else {
                    guard isUnknown else { throw error }
                    throw ClientError(
                        .invalidArgument, "a partition of what \(subject) commits is not there any more",
                        protocolCode: .unknownTopicOrPartition)
                }
                await cluster.forget(route, after: error)
                do {
                    try await Task.sleep(for: pause)
                } catch {
                    throw ClientError(.cancelled, "cancelled")
                }
                attempt += 1
            }
        }
    }
}
