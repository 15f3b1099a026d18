import HistoryChecker
import KafkaProtocol
import MartletClient

/// What a consumer does with the partitions of its group: reads them, commits how far it is, gives them up.
extension GroupMember {
    // MARK: Partitions come

    func take(_ added: [TopicPartition], all: [TopicPartition]) {
        world.count("assignments")
        world.note("\(process) has \(all) in \(identity.epoch)")
        group.ownership.assigned(all, to: process, generation: identity.epoch, at: time)
        if !added.isEmpty {
            world.history.record(process, .position(.assigned(added)))
            for partition in added {
                positions[partition] = .some(nil)
                expelledFrom.remove(partition)
                assignmentCount += 1
                assignments[partition] = assignmentCount
                committed[partition] = nil
                findPosition(of: partition, assignmentCount)
            }
        }
        timeline.after(timeline.between(0.1, 5), "assigned") { [self] in handle(.delegateReturned) }
    }

    private func has(_ partition: TopicPartition, _ assignment: Int) -> Bool {
        !isOver && assignments[partition] == assignment && !leaving.contains(partition)
    }

    /// Goes on where the group stands.
    private func findPosition(of partition: TopicPartition, _ assignment: Int) {
        fetchCommitted(partition) { [self] offset in
            guard has(partition, assignment) else { return }
            guard let offset else {
                return timeline.after(timeline.between(50, 300), "position-retry") { [self] in
                    if has(partition, assignment) { findPosition(of: partition, assignment) }
                }
            }
            positions[partition] = offset
            world.history.record(process, .position(.set(partition, offset: offset)))
            consume(partition, assignment)
        }
    }

    private func consume(_ partition: TopicPartition, _ assignment: Int) {
        guard has(partition, assignment), case .some(.some(let offset)) = positions[partition] else { return }
        fetch(partition, from: offset, group.isolation) { [self] fetched in
            guard has(partition, assignment) else { return }
            if let fetched {
                if !fetched.records.isEmpty {
                    world.count("read by groups", fetched.records.count)
                    world.history.record(
                        process,
                        .poll(
                            Poll(
                                group.isolation,
                                fetched.records.map {
                                    HistoryChecker.Record(partition, offset: $0.offset, value: .number($0.value))
                                })))
                }
                positions[partition] = fetched.next
            }
            timeline.after(fetched == nil ? timeline.between(50, 300) : timeline.between(0, 50), "consume") { [self] in
                consume(partition, assignment)
            }
        }
    }

    // MARK: Partitions go

    func give(_ partitions: [TopicPartition], lost: Bool) {
        world.note("\(process) \(lost ? "loses" : "gives") \(partitions)")
        world.count(lost ? "partitions lost" : "partitions revoked", partitions.count)
        leaving.formUnion(partitions)
        let done = { [self] in
            guard !isOver else { return }
            world.history.record(process, .position(.revoked(partitions)))
            group.ownership.released(partitions, by: process)
            leaving.subtract(partitions)
            expelledFrom.subtract(partitions)
            for partition in partitions {
                positions[partition] = nil
                assignments[partition] = nil
            }
            timeline.after(timeline.between(0.1, 5), "revoked") { [self] in handle(.delegateReturned) }
        }
        if lost { return done() }
        var attempts = 0
        retry(until: timeline.now + .seconds(3)) { [self] finished in
            guard !isOver else { return finished(true) }
            guard !isCommitting else { return finished(false) }
            attempts += 1
            commit(partitions) { isDone in finished(isDone || attempts == 3) }
        } _: { _ in
            done()
        }
    }

    // MARK: Commits

    func commitNowAndThen() {
        timeline.after(timeline.between(100, 2 * group.commitMilliseconds), "auto-commit") { [self] in
            guard !isOver else { return }
            if !isCommitting { commit(positions.keys.filter { !leaving.contains($0) }.sorted()) { _ in } }
            commitNowAndThen()
        }
    }

    /// Commits what is new, once. Calls back with whether it is of no use to try again.
    private func commit(_ partitions: [TopicPartition], _ completion: @escaping (Bool) -> Void) {
        let offsets = partitions.compactMap { partition -> (partition: TopicPartition, offset: Int64)? in
            guard case .some(.some(let offset)) = positions[partition], committed[partition] != offset,
                !expelledFrom.contains(partition)
            else { return nil }
            return (partition, offset)
        }
        guard !offsets.isEmpty else { return completion(true) }
        isCommitting = true
        withCoordinator { [self] node in
            guard !isOver else { return }
            let identity = identity
            guard let node, identity.epoch >= 0, !offsets.contains(where: { expelledFrom.contains($0.partition) })
            else {
                isCommitting = false
                return completion(false)
            }
            let invoked = time
            let generations = offsets.map { group.ownership.generation(of: $0.partition, in: process) }
            ask(node, commitRequest(offsets, identity), 9) { [self] response in
                isCommitting = false
                var isFinal = true
                let answers = response?.topics.flatMap { topic in
                    topic.partitions.map {
                        (TopicPartition(topic.name, $0.partitionIndex), ErrorCode(rawValue: $0.errorCode))
                    }
                }
                let codes = Dictionary(uniqueKeysWithValues: answers ?? [])
                for ((partition, offset), generation) in zip(offsets, generations) {
                    let outcome = outcome(of: codes[partition])
                    record(partition, offset, invoked, outcome)
                    if outcome == .acknowledged {
                        group.ownership.accepted(partition, of: process, in: generation, invoked: invoked)
                    }
                    if outcome != .acknowledged { isFinal = false }
                    guard !isOver, outcome == .acknowledged, positions[partition] != nil else { continue }
                    committed[partition] = offset
                }
                guard !isOver else { return }
                if response == nil || codes.values.contains(where: { $0 == .notCoordinator }) { forgetCoordinator() }
                let refusal = codes.values.first { $0 != .none && !Self.isRetriable($0) }
                if let refusal {
                    world.note("\(process) may not commit: \(refusal)")
                    handle(.commitRefused(refusal, identity))
                }
                completion(isFinal || (refusal != nil && refusal != .staleMemberEpoch))
            }
        }
    }

    private func outcome(of code: ErrorCode?) -> OffsetCommit.Outcome {
        switch code {
        case .some(.none): .acknowledged
        // A coordinator that stops says so also of what it has written.
        case nil, .requestTimedOut, .kafkaStorageError, .notCoordinator, .coordinatorNotAvailable: .unknown
        case .some: .refused
        }
    }

    private func commitRequest(
        _ offsets: [(partition: TopicPartition, offset: Int64)], _ identity: MemberIdentity
    ) -> OffsetCommitRequest {
        var request = OffsetCommitRequest()
        request.groupId = group.name
        request.memberId = identity.memberId
        request.generationIdOrMemberEpoch = identity.epoch
        request.groupInstanceId = group.instanceId(of: self)
        for (partition, offset) in offsets {
            if request.topics.last?.name != partition.topic {
                var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
                topic.name = partition.topic
                request.topics.append(topic)
            }
            var entry = OffsetCommitRequest.OffsetCommitRequestPartition()
            entry.partitionIndex = partition.partition
            entry.committedOffset = offset
            request.topics[request.topics.count - 1].partitions.append(entry)
        }
        return request
    }

    private func record(
        _ partition: TopicPartition, _ offset: Int64, _ invoked: Int, _ outcome: OffsetCommit.Outcome
    ) {
        world.count("member commits \(outcome)")
        world.history.record(
            process, time: Interval(invoked: invoked, completed: time),
            .offsetCommit(OffsetCommit(group.name, partition, offset: offset, outcome)))
    }

    /// Calls back with where the group stands, 0 when it has not begun; nil when nobody says so now.
    private func fetchCommitted(_ partition: TopicPartition, _ completion: @escaping (Int64?) -> Void) {
        withCoordinator { [self] node in
            guard let node else { return completion(nil) }
            let identity = identity
            var request = OffsetFetchRequest()
            request.requireStable = true
            request.groups = [OffsetFetchRequest.OffsetFetchRequestGroup()]
            request.groups[0].groupId = group.name
            if group.isConsumerProtocol {
                request.groups[0].memberId = identity.memberId
                request.groups[0].memberEpoch = identity.epoch
            }
            request.groups[0].topics = [OffsetFetchRequest.OffsetFetchRequestTopics()]
            request.groups[0].topics![0].name = partition.topic
            request.groups[0].topics![0].partitionIndexes = [partition.partition]
            let invoked = time
            ask(node, request, 9) { [self] response in
                guard !isOver else { return }
                guard let told = response?.groups.first, told.errorCode == 0,
                    let answer = told.topics.first?.partitions.first, answer.errorCode == 0
                else {
                    let code = response?.groups.first.map { ErrorCode(rawValue: $0.errorCode) } ?? .notCoordinator
                    if code == .notCoordinator { forgetCoordinator() }
                    if code == .unknownMemberId || code == .fencedMemberEpoch { handle(.commitRefused(code, identity)) }
                    return completion(nil)
                }
                let offset = answer.committedOffset < 0 ? nil : answer.committedOffset
                group.told(partition, offset, by: node, to: process, Interval(invoked: invoked, completed: time))
                completion(offset ?? 0)
            }
        }
    }
}
