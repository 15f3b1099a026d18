import KafkaProtocol

extension ConsumerCore {
    /// The cluster's answer, or why there is none.
    mutating func didLearn(_ answer: Result<MetadataResponse, ClientError>, now: Instant) {
        metadata.isAsking = false
        needsStep = true
        switch answer {
        case .failure(let error):
            metadata.isNeeded = true
            // A name that nobody knows is a mistake of the configuration, unless it was known before.
            if error.isUnresolved, !knowsCluster { end(error.fatal()) }
            if error.code == .unsupportedVersion { end(error.fatal()) }
        case .success(let response):
            knowsCluster = true
            metadata.last = now
            let topics = Dictionary(
                response.topics.compactMap { topic in topic.name.map { ($0, topic) } },
                uniquingKeysWith: { first, _ in first })
            for slot in slots.indices where slots[slot].isAssigned {
                learn(slot, topics[slots[slot].name.topic], now)
                if slots[slot].isActive, slots[slot].leader == nil { metadata.isNeeded = true }
            }
        }
        // A pause after an answer that did not help, so that an error that stays does not become a storm.
        metadata.failures = metadata.isNeeded ? metadata.failures + 1 : 0
        metadata.retryAt = now + delay(after: metadata.failures)
    }

    private mutating func learn(_ slot: Int, _ topic: MetadataResponse.MetadataResponseTopic?, _ now: Instant) {
        guard let topic else { return }
        let name = slots[slot].name
        let code = ErrorCode(rawValue: topic.errorCode)
        if code == .topicAuthorizationFailed || code == .invalidTopicException {
            slots[slot].leader = nil
            return fail(slot, ClientError.refused(code, "topic '\(name.topic)'"))
        }
        let found = topic.partitions.first { $0.partitionIndex == name.partition }
        guard code == .none, let found else {
            // Other errors of a topic pass.
            if code == .none || code == .unknownTopicOrPartition { didNotFind(slot, now) }
            slots[slot].leader = nil
            return
        }
        slots[slot].unknownSince = nil
        if slots[slot].failure?.protocolCode == .unknownTopicOrPartition
            || slots[slot].failure?.protocolCode == .topicAuthorizationFailed
        {
            slots[slot].failure = nil
        }
        if slots[slot].topicId != topic.topicId {
            let isNew = slots[slot].topicId != .zero && topic.topicId != .zero
            slots[slot].topicId = topic.topicId
            if isNew { didRecreate(slot) }
        } else if found.leaderEpoch >= 0, found.leaderEpoch < slots[slot].leaderEpoch {
            // What a broker that lags behind says of an earlier leader is no news.
            return
        }
        setLeader(slot, found.leaderId >= 0 ? found.leaderId : nil, epoch: found.leaderEpoch)
    }

    /// Another topic has the name now: nothing of the old one counts.
    private mutating func didRecreate(_ slot: Int) {
        let error = ClientError.refused(.unknownTopicId, "\(slots[slot].name)", message: "the topic was made anew")
        invalidate(slot)
        slots[slot].position = nil
        slots[slot].done = nil
        slots[slot].leaderEpoch = -1
        slots[slot].validatedEpoch = -1
        slots[slot].preferredReplica = nil
        reset(slot, error)
    }

    private mutating func didNotFind(_ slot: Int, _ now: Instant) {
        let since = slots[slot].unknownSince ?? now
        slots[slot].unknownSince = since
        guard now - since >= configuration.unknownPartitionTimeout, reportsUnknown else { return }
        fail(slot, ClientError.refused(.unknownTopicOrPartition, "\(slots[slot].name)"))
    }

    private mutating func fail(_ slot: Int, _ error: ClientError) {
        slots[slot].failure = error
        needsStep = true
    }

    mutating func setLeader(_ slot: Int, _ leader: Int32?, epoch: Int32) {
        if slots[slot].leader != leader || slots[slot].leaderEpoch != epoch {
            slots[slot].leader = leader
            slots[slot].leaderEpoch = epoch
            slots[slot].preferredReplica = nil
            checkEpoch(slot)
        }
    }

    // MARK: Connections

    mutating func didConnect(_ node: Int32, connection: Int) {
        guard nodes[node]?.connection == connection, nodes[node]?.state == .connecting else { return }
        nodes[node]!.state = .connected
        nodes[node]!.failures = 0
        nodes[node]!.retryAt = nil
        nodes[node]!.session.restart()
        needsStep = true
    }

    /// A connection has ended, or there is none. A fetch that is under way is reported as lost, here or before.
    mutating func disconnect(_ node: Int32, connection: Int, now: Instant) {
        guard nodes[node]?.connection == connection, nodes[node]?.state != .idle else { return }
        nodes[node]!.state = .idle
        nodes[node]!.failures += 1
        nodes[node]!.retryAt = now + delay(after: nodes[node]!.failures)
        nodes[node]!.session.restart()
        finishFetch(node)
        // Another replica may lead now, and the nearby one may be away.
        metadata.isNeeded = true
        for slot in slots.indices where slots[slot].preferredReplica?.node == node {
            slots[slot].preferredReplica = nil
        }
        needsStep = true
    }

    /// The fetch from a broker is over, one way or another.
    mutating func finishFetch(_ node: Int32) {
        guard let references = nodes[node]?.inFlight else { return }
        nodes[node]!.inFlight = nil
        reservedBytes -= nodes[node]!.reserved
        nodes[node]!.reserved = 0
        for reference in references where slots[reference.slot].inFlightNode == node {
            slots[reference.slot].inFlightNode = nil
        }
        needsStep = true
    }
}
