import KafkaProtocol

/// What the member asks, and when.
extension ConsumerMembership {
    package var deadline: Instant? {
        var times: [Instant] = []
        if heartbeat == nil, canBeat, let heartbeatDue { times.append(heartbeatDue) }
        if look == nil, let lookDue, isAlive { times.append(lookDue) }
        if naming == nil, target != nil, !isDelegateAtWork, phase == .member, let namingDue { times.append(namingDue) }
        return times.min()
    }

    private var isAlive: Bool { (phase == .joining || phase == .member) && failure == nil }

    /// Who was fenced joins again only when the partitions are given up.
    private var canBeat: Bool {
        switch phase {
        case .joining: interest != nil && failure == nil && departure == nil && !isDelegateAtWork && !isLost
        case .member: failure == nil
        default: false
        }
    }

    /// Whether the coordinator is to hear something before the next heartbeat is due.
    private var hasNews: Bool {
        phase == .member && departure == nil && (mustAcknowledge || (toldInterest != nil && toldInterest != interest))
    }

    mutating func keepAlive(_ now: Instant) {
        guard canBeat, heartbeat == nil else { return }
        if heartbeatDue == nil || (hasNews && !isPausing) { heartbeatDue = now }
        guard let due = heartbeatDue, now >= due else { return }
        let number = nextNumber()
        heartbeat = number
        actions.append(.send(number, .consumerHeartbeat(heartbeatRequest(), hasOwnId: hasOwnId)))
        toldInterest = interest
        mustAcknowledge = false
        isPausing = false
    }

    /// What did not change since the last heartbeat is left out.
    private func heartbeatRequest() -> ConsumerGroupHeartbeatRequest {
        var request = ConsumerGroupHeartbeatRequest()
        request.groupId = configuration.groupId
        request.memberId = memberId
        request.memberEpoch = epoch
        request.instanceId = configuration.groupInstanceId
        let isFull = toldInterest == nil
        if isFull {
            request.rackId = configuration.rackId
            request.rebalanceTimeoutMs = Int32(clamping: configuration.rebalanceTimeout.milliseconds)
            request.serverAssignor = configuration.remoteAssignor
        }
        if isFull || toldInterest != interest {
            switch interest {
            case .names(let names)?:
                request.subscribedTopicNames = names.sorted()
                request.subscribedTopicRegex = ""
            case .regex(let pattern)?:
                request.subscribedTopicNames = []
                request.subscribedTopicRegex = pattern
            case nil: break
            }
        }
        if epoch == 0 {
            request.topicPartitions = []
        } else if isFull || mustAcknowledge {
            request.topicPartitions = Dictionary(grouping: owned.union(releasing), by: \.topicId)
                .sorted { ($0.key.high, $0.key.low) < ($1.key.high, $1.key.low) }.map { id, partitions in
                    var topic = ConsumerGroupHeartbeatRequest.TopicPartitions()
                    topic.topicId = id
                    topic.partitions = partitions.map(\.index).sorted()
                    return topic
                }
        }
        return request
    }

    /// Finds out who matches the pattern; if it is the client, again and again.
    mutating func matchTopics(_ now: Instant) {
        guard isAlive, look == nil, let pattern = subscription?.pattern, let due = lookDue, now >= due else { return }
        let number = nextNumber()
        look = number
        actions.append(.askForTopics(number, TopicsQuestion(pattern: pattern, brokerMayMatch: true)))
    }
}
