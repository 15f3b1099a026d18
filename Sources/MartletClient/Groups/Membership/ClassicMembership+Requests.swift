import KafkaProtocol

/// What the member asks, and when.
extension ClassicMembership {
    package var deadline: Instant? {
        var times: [Instant] = []
        if let heartbeatDue, heartbeat == nil, canBeat { times.append(heartbeatDue) }
        if let lookDue, look == nil, phase == .settled { times.append(lookDue) }
        if case .pausing(let until) = phase, !isDelegateAtWork { times.append(until) }
        return times.min()
    }

    /// A member that waits for the others in a join needs none: the coordinator knows that it is there.
    private var canBeat: Bool {
        switch phase {
        case .away, .joining, .sayingGoodbye, .ended: false
        default: generation >= 0 && failure == nil
        }
    }

    mutating func keepAlive(_ now: Instant) {
        guard canBeat, heartbeat == nil, let due = heartbeatDue, now >= due else { return }
        var request = HeartbeatRequest()
        request.groupId = configuration.groupId
        request.generationId = generation
        request.memberId = memberId
        request.groupInstanceId = configuration.groupInstanceId
        let number = nextNumber()
        heartbeat = number
        heartbeatIdentity = identity
        actions.append(.send(number, .heartbeat(request)))
    }

    /// The leader watches the partitions of all that the group reads; everybody with a pattern watches the topics.
    mutating func lookAtTopics(_ now: Instant) {
        guard phase == .settled, look == nil, let due = lookDue, now >= due else { return }
        let number = nextNumber()
        look = number
        actions.append(
            .askForTopics(
                number, TopicsQuestion(names: divided == nil ? [] : groupTopics, pattern: subscription?.pattern)))
    }

    func joinRequest(_ topics: Set<String>) -> JoinGroupRequest {
        var request = JoinGroupRequest()
        request.groupId = configuration.groupId
        request.sessionTimeoutMs = Int32(clamping: configuration.sessionTimeout.milliseconds)
        request.rebalanceTimeoutMs = Int32(clamping: configuration.rebalanceTimeout.milliseconds)
        request.memberId = memberId
        request.groupInstanceId = configuration.groupInstanceId
        request.protocolType = "consumer"
        request.protocols = configuration.strategies.map { strategy in
            var subscription = MemberSubscription(
                topics: topics.sorted(), owned: owned, generation: generation, rackId: configuration.rackId)
            switch strategy {
            case .sticky: subscription.userData = previous.generation >= 0 ? previous.encoded : nil
            case .cooperativeSticky: subscription.userData = StickyUserData.encode(generation: generation)
            default: break
            }
            var offered = JoinGroupRequest.JoinGroupRequestProtocol()
            offered.name = strategy.name
            offered.metadata = subscription.encoded
            return offered
        }
        return request
    }

    mutating func synchronize(_ joined: JoinGroupResponse, _ assignment: [String: [TopicPartition]] = [:]) {
        var request = SyncGroupRequest()
        request.groupId = configuration.groupId
        request.generationId = generation
        request.memberId = memberId
        request.groupInstanceId = configuration.groupInstanceId
        request.protocolType = joined.protocolType ?? "consumer"
        request.protocolName = joined.protocolName
        request.assignments = assignment.sorted { $0.key < $1.key }.map { id, partitions in
            var entry = SyncGroupRequest.SyncGroupRequestAssignment()
            entry.memberId = id
            entry.assignment = ConsumerProtocol.encodeAssignment(partitions)
            return entry
        }
        let number = nextNumber()
        phase = .syncing(number, protocolName: joined.protocolName ?? "")
        actions.append(.send(number, .sync(request)))
    }
}
