import KafkaProtocol

/// Consumes topics as a member of a group: partitions come from the group, positions from what it has committed.
package actor GroupConsumer {
    private let cluster: Cluster
    private let member: GroupMember
    private let consumer: OldConsumer
    private let options: GroupOptions
    private var assignment: [TopicPartition] = []
    /// Offsets after the last records that the caller is done with.
    private var consumed: [TopicPartition: Int64] = [:]
    private var committed: [TopicPartition: Int64] = [:]
    private var mustJoin = true
    private var failure: ClientError?
    private var heartbeats: Task<Void, Never>?
    private var lastCommit = ContinuousClock.now

    package init(
        cluster: Cluster, groupId: String, topics: [String], options: GroupOptions = GroupOptions(),
        consumerOptions: ConsumerOptions = ConsumerOptions()
    ) {
        var consumerOptions = consumerOptions
        consumerOptions.resetPolicy = options.resetPolicy
        self.cluster = cluster
        self.options = options
        member = GroupMember(cluster: cluster, groupId: groupId, topics: topics, options: options)
        consumer = OldConsumer(cluster: cluster, options: consumerOptions)
    }

    /// The partitions that the group gave to this member.
    package var partitions: [TopicPartition] { assignment }

    /// Where the member stands in each of its partitions.
    package var positions: [TopicPartition: Int64] { consumed }

    /// What came next; an empty array when nothing came for a while. Joins the group first, and again when the
    /// partitions are divided anew; what was marked as consumed is committed before that and every few seconds.
    package func poll() async throws(ClientError) -> [FetchedRecords] {
        if let failure { throw failure }
        if mustJoin { try await join() }
        if ContinuousClock.now - lastCommit >= options.commitInterval {
            do throws(ClientError) {
                try await commit()
            } catch  where error.isRetriable {
                // The next commit, a few seconds later, holds all of this one.
            }
        }
        return try await consumer.poll()
    }

    /// The caller is done with all records of the partition before `nextOffset`.
    package func markConsumed(_ partition: TopicPartition, nextOffset: Int64) {
        // Of a partition that went to another member nothing is to be committed any more.
        if consumed[partition] != nil { consumed[partition] = nextOffset }
    }

    /// Commits what was marked as consumed since the last commit.
    package func commit() async throws(ClientError) {
        lastCommit = ContinuousClock.now
        let changed = consumed.filter { committed[$0.key] != $0.value }
        guard !changed.isEmpty else { return }
        do throws(ClientError) {
            try await member.commit(changed)
            committed.merge(changed) { $1 }
        } catch {
            switch error.protocolCode {
            // The records will come again to whoever has the partitions now.
            case .rebalanceInProgress, .illegalGeneration, .unknownMemberId: mustJoin = true
            default: throw error
            }
        }
    }

    /// Commits and leaves.
    package func close() async throws(ClientError) {
        heartbeats?.cancel()
        if !mustJoin { try await commit() }
        try await member.leave()
    }

    private func join() async throws(ClientError) {
        if !assignment.isEmpty { try await commit() }
        await consumer.assign([:])
        assignment = try await member.join()
        mustJoin = false
        committed = try await Admin(cluster: cluster)
            .committedOffsets(of: member.groupId, partitions: assignment).mapValues(\.offset)
        consumed = committed
        let fresh = assignment.filter { committed[$0] == nil }
        if !fresh.isEmpty {
            let position: OffsetPosition = options.resetPolicy == .earliest ? .earliest : .latest
            let found = try await Admin(cluster: cluster).offsets(of: fresh, at: position)
            for (partition, listed) in found { consumed[partition] = listed.offset }
        }
        await consumer.assign(consumed)
        startHeartbeats()
    }

    private func startHeartbeats() {
        guard heartbeats == nil else { return }
        heartbeats = Task {
            var nextMetadata = ContinuousClock.now + options.metadataInterval
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: options.heartbeatInterval)
                } catch {
                    return
                }
                guard !mustJoin else { continue }
                do throws(ClientError) {
                    if try await member.heartbeat() { mustJoin = true }
                    if ContinuousClock.now >= nextMetadata {
                        nextMetadata = ContinuousClock.now + options.metadataInterval
                        if try await member.mustDivideAgain() { mustJoin = true }
                    }
                } catch  where error.isRetriable {
                    // The coordinator may be back within the session's time-out.
                } catch {
                    // `poll` reports it.
                    failure = error
                    return
                }
            }
        }
    }
}
