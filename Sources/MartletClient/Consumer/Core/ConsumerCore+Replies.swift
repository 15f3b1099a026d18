import KafkaProtocol

extension ConsumerCore {
    /// The fetch's connection has ended, or its reply cannot be read.
    mutating func didLose(_ plan: FetchPlan, _ error: ClientError, now: Instant) {
        guard nodes[plan.node]?.connection == plan.connection else { return }
        finishFetch(plan.node)
        nodes[plan.node]!.session.restart()
        // Without a pause, a request that cannot even be sent would be made again and again.
        for entry in plan.entries where isCurrent(entry.reference) { backOff(entry.reference.slot, now) }
        if error.code == .malformedReply || error.code == .unsupportedVersion { note(error) }
    }

    mutating func didReceive(_ reply: FetchReply, for plan: FetchPlan, now: Instant) {
        guard nodes[plan.node]?.connection == plan.connection else { return }
        finishFetch(plan.node)
        if reply.throttle > .zero { nodes[plan.node]!.throttledUntil = now + reply.throttle }
        guard reply.errorCode == .none else { return didRefuse(reply.errorCode, plan, now) }
        nodes[plan.node]!.session.didReceive(sessionId: reply.sessionId)
        var byName: [TopicPartition: FetchPlan.Entry] = [:]
        var byId: [Uuid: String] = [:]
        if plan.entries.count > 1 {
            byName.reserveCapacity(plan.entries.count)
            for entry in plan.entries {
                byName[entry.name] = entry
                byId[entry.topicId] = entry.name.topic
            }
        }
        frames += 1
        let frame = FetchedFrame(id: frames, byteCount: reply.frameByteCount)
        for partition in reply.partitions {
            let entry: FetchPlan.Entry?
            if plan.entries.count == 1 {
                let only = plan.entries[0]
                let isIt =
                    only.name.partition == partition.index
                    && (reply.usesIds ? only.topicId == partition.topicId : only.name.topic == partition.topic)
                entry = isIt ? only : nil
            } else {
                let topic = reply.usesIds ? byId[partition.topicId] : partition.topic
                entry = topic.flatMap { byName[TopicPartition($0, partition.index)] }
            }
            // What came of a partition that was moved or taken away meanwhile is of no use.
            guard let entry, isCurrent(entry.reference), slots[entry.reference.slot].phase == .ready,
                slots[entry.reference.slot].fetchOffset == entry.offset, slots[entry.reference.slot].isActive
            else { continue }
            take(partition, entry, of: frame, from: plan.node, isAlone: plan.entries.count == 1, now)
        }
    }

    /// The broker does not answer the request as a whole.
    private mutating func didRefuse(_ code: ErrorCode, _ plan: FetchPlan, _ now: Instant) {
        switch code {
        case .fetchSessionIdNotFound:
            nodes[plan.node]!.session.restart(isUnknown: true)
        case .invalidFetchSessionEpoch:
            nodes[plan.node]!.session.restart()
        default:
            nodes[plan.node]!.session.restart()
            // With the session's topics, or the broker itself, something is wrong that takes time.
            metadata.isNeeded = true
            for entry in plan.entries where isCurrent(entry.reference) { backOff(entry.reference.slot, now) }
            if !code.isRetriable { note(ClientError.refused(code, "fetch from broker \(plan.node)")) }
        }
    }

    private mutating func take(
        _ reply: FetchReply.Partition, _ entry: FetchPlan.Entry, of frame: FetchedFrame, from node: Int32,
        isAlone: Bool, _ now: Instant
    ) {
        let slot = entry.reference.slot
        guard reply.errorCode == .none else { return didRefuse(reply, entry, from: node, now) }
        slots[slot].failures = 0
        slots[slot].unknownSince = nil
        slots[slot].highWatermark = reply.highWatermark
        slots[slot].lastStableOffset = reply.lastStableOffset
        if reply.logStartOffset >= 0 { slots[slot].logStartOffset = reply.logStartOffset }
        if reply.preferredReadReplica >= 0 {
            slots[slot].preferredReplica = (reply.preferredReadReplica, now + configuration.metadataMaximumAge)
        }
        guard let records = reply.records else { return }
        do throws(ClientError) {
            let committedOnly = configuration.isolationLevel == .readCommitted
            let found = try FetchedChunk(
                entry.name, bytes: records, of: frame, startOffset: entry.offset, highWatermark: reply.highWatermark,
                abortedTransactions: committedOnly ? AbortedTransactions(reply.abortedTransactions) : nil)
            guard let chunk = found else {
                // The first one that has something must come whole.
                if isAlone {
                    throw ClientError(.malformedReply, "\(entry.name): the broker sent less than a batch")
                }
                return
            }
            slots[slot].append(chunk)
            hold(chunk.frame)
            slots[slot].fetchOffset = chunk.nextOffset
            slots[slot].fetchEpoch = chunk.lastEpoch
            turns += 1
            slots[slot].lastTurn = turns
            enqueue(slot)
        } catch {
            note(error)
            backOff(slot, now)
        }
    }

    private mutating func didRefuse(
        _ reply: FetchReply.Partition, _ entry: FetchPlan.Entry, from node: Int32, _ now: Instant
    ) {
        let slot = entry.reference.slot
        let code = reply.errorCode
        switch code {
        case .offsetOutOfRange:
            if slots[slot].preferredReplica?.node == node || slots[slot].leader != node {
                // A follower, or a leader of before, may be behind; the leader knows.
                if slots[slot].preferredReplica?.node == node { slots[slot].preferredReplica = nil }
            } else if slots[slot].position != entry.offset || isPossessed(slot) {
                // First what was fetched before, all of which the application has not seen yet; then it will be asked again.
                backOff(slot, now)
            } else {
                reset(slot, ClientError.refused(code, "\(entry.name) at offset \(entry.offset)"))
            }
        case .notLeaderOrFollower, .fencedLeaderEpoch:
            slots[slot].preferredReplica = nil
            metadata.isNeeded = true
            guard !follow(reply, slot) else { return }
            backOff(slot, now)
        case .topicAuthorizationFailed:
            note(ClientError.refused(code, "topic '\(entry.name.topic)'"))
            backOff(slot, now)
        case .unknownTopicOrPartition, .unknownTopicId, .inconsistentTopicId:
            // Metadata says whether it is gone, which it may itself hear late.
            nodes[node]!.session.restart()
            slots[slot].preferredReplica = nil
            metadata.isNeeded = true
            backOff(slot, now)
        default:
            slots[slot].preferredReplica = nil
            metadata.isNeeded = true
            if !code.isRetriable { note(ClientError.refused(code, "\(entry.name)")) }
            backOff(slot, now)
        }
    }

    /// Takes over who leads now, when the reply says it (KIP-951).
    private mutating func follow(_ reply: FetchReply.Partition, _ slot: Int) -> Bool {
        guard reply.currentLeader >= 0, reply.currentLeaderEpoch > slots[slot].leaderEpoch else { return false }
        setLeader(slot, reply.currentLeader, epoch: reply.currentLeaderEpoch)
        return true
    }

    mutating func backOff(_ slot: Int, _ now: Instant) {
        slots[slot].failures += 1
        slots[slot].retryAt = now + delay(after: slots[slot].failures)
        needsStep = true
    }

    // MARK: Positions

    /// What the group has committed; nil for a partition that it has no offset of.
    mutating func didLearnCommitted(
        _ answer: Result<[TopicPartition: ConsumedOffset], ClientError>,
        of partitions: [(reference: PartitionReference, name: TopicPartition)], now: Instant
    ) {
        for (reference, name) in partitions {
            guard isCurrent(reference), slots[reference.slot].phase == .needsCommitted else { continue }
            slots[reference.slot].isAsking = false
            switch answer {
            case .success(let offsets):
                if let offset = offsets[name] {
                    setPosition(reference.slot, offset)
                } else {
                    reset(reference.slot, nil)
                }
            case .failure(let error):
                if !error.isRetriable { note(error) }
                backOff(reference.slot, now)
            }
        }
        needsStep = true
    }

    mutating func didAnswer(
        _ question: OffsetQuestion, _ answer: Result<[OffsetAnswer], ClientError>, now: Instant
    ) {
        needsStep = true
        switch answer {
        case .failure(let error):
            metadata.isNeeded = true
            if error.code == .unsupportedVersion, question.kind == .epochEnd {
                // Brokers before Kafka 2.1 cannot say.
                for entry in question.entries where isCurrent(entry.reference) { didValidate(entry.reference.slot) }
                return
            }
            if !error.isRetriable { note(error) }
            for entry in question.entries where isCurrent(entry.reference) {
                slots[entry.reference.slot].isAsking = false
                backOff(entry.reference.slot, now)
            }
        case .success(let answers):
            let byReference = Dictionary(answers.map { ($0.reference, $0) }, uniquingKeysWith: { first, _ in first })
            for entry in question.entries where isCurrent(entry.reference) {
                let slot = entry.reference.slot
                slots[slot].isAsking = false
                // What an earlier leader says of the log proves nothing for the present one's.
                guard entry.leaderEpoch == slots[slot].leaderEpoch else { continue }
                guard let answer = byReference[entry.reference], answer.errorCode == .none else {
                    refuse(slot, byReference[entry.reference]?.errorCode ?? .unknownServerError, now)
                    continue
                }
                switch (question.kind, slots[slot].phase) {
                case (.place, .needsOffset(let place)) where place == entry.position: didFind(slot, place, answer)
                case (.epochEnd, .needsValidation): didLearnEpochEnd(slot, answer)
                default: continue
                }
            }
        }
    }

    private mutating func refuse(_ slot: Int, _ code: ErrorCode, _ now: Instant) {
        metadata.isNeeded = true
        if !code.isRetriable { note(ClientError.refused(code, "\(slots[slot].name)")) }
        backOff(slot, now)
    }

    private mutating func didFind(_ slot: Int, _ place: OffsetPosition, _ answer: OffsetAnswer) {
        if answer.offset < 0 {
            // No record is so late: what comes next is.
            slots[slot].phase = .needsOffset(.latest)
        } else {
            setPosition(slot, ConsumedOffset(answer.offset, leaderEpoch: answer.epoch < 0 ? nil : answer.epoch))
            // The leader has just said it.
            slots[slot].validatedEpoch = slots[slot].leaderEpoch
            slots[slot].phase = .ready
        }
    }

    private mutating func didValidate(_ slot: Int) {
        slots[slot].isAsking = false
        slots[slot].validatedEpoch = slots[slot].leaderEpoch
        slots[slot].phase = .ready
        slots[slot].failures = 0
    }

    /// Where the leader's log has its last record of the epoch of what was read last, or of an earlier one.
    private mutating func didLearnEpochEnd(_ slot: Int, _ answer: OffsetAnswer) {
        let name = slots[slot].name
        guard let position = slots[slot].position else { return didValidate(slot) }
        if answer.offset < 0 || answer.epoch < 0 {
            // It knows no epoch as old.
            return reset(
                slot,
                ClientError(
                    .logTruncated, "\(name): the leader does not know the epoch of the records before \(position)"))
        }
        guard answer.offset < slots[slot].fetchOffset else { return didValidate(slot) }
        // What waits may be of the part that is gone; what is left comes again.
        let truncated = answer.offset < position
        if truncated, configuration.offsetReset == .none {
            clear(slot)
            slots[slot].failure = ClientError(
                .logTruncated, "\(name): the log ends at \(answer.offset) now, before the position \(position)",
                nextStep: "seek to an offset to go on from")
            return
        }
        let epoch = truncated ? answer.epoch : slots[slot].positionEpoch
        rewind(slot, to: min(position, answer.offset))
        slots[slot].positionEpoch = epoch
        slots[slot].fetchEpoch = epoch
        didValidate(slot)
        if truncated {
            // What the application is working on is partly gone; it is not done with what comes before.
            slots[slot].possession = nextGeneration()
            if slots[slot].done?.offset ?? 0 > answer.offset {
                slots[slot].done = ConsumedOffset(answer.offset, leaderEpoch: epoch)
            }
            actions.notes.append(("consumer.log.truncated", name, "from \(position) to \(answer.offset)"))
        }
    }
}
