import KafkaProtocol

/// What events say.
extension ConsumerMembership {
    mutating func take(_ event: MembershipEvent, _ now: Instant) {
        guard phase != .ended else { return takeAfterEnd(event) }
        switch event {
        case .subscribed(let subscription): subscribe(subscription, now)
        case .timeReached: break
        case .delegateReturned:
            isDelegateAtWork = false
            releasing = []
            if phase == .member { mustAcknowledge = true }
        case .replied(let number, let result): takeReply(number, result, now)
        case .toldTopics(let number, let result): takeTopics(number, result, now)
        case .commitRefused(_, let refused):
            // The heartbeat will say what the matter is.
            if refused == identity, heartbeat == nil, !isPausing { heartbeatDue = now }
        case .pollTimedOut:
            // One that leaves says when it is over.
            guard departure == nil else { return }
            guard phase == .joining || phase == .member else { return actions.append(.left) }
            departure = .forNow
            // At once: the delegate may be at work for long, and the others need not wait.
            _ = sayGoodbye()
            phase = .away
        case .polled:
            if departure == .forNow { mustReturn = true }
            guard isOut else { return }
            isOut = false
            phase = .joining
        case .rebalanceWanted: if phase == .member, heartbeat == nil { heartbeatDue = now }
        case .leave:
            if case .sayingGoodbye = phase { return }
            departure = .forGood
        }
    }

    /// Replies may come late; whoever wants to leave has left.
    private mutating func takeAfterEnd(_ event: MembershipEvent) {
        switch event {
        case .leave, .pollTimedOut: actions.append(.left)
        default: break
        }
    }

    private mutating func subscribe(_ new: TopicSubscription, _ now: Instant) {
        guard new != subscription else { return }
        subscription = new
        look = nil
        if case .topics(let names) = new {
            interest = .names(names)
            lookDue = nil
        } else {
            lookDue = now
        }
        if phase == .away, departure == nil, !isOut { phase = .joining }
    }

    // MARK: Topics

    private mutating func takeTopics(_ number: Int, _ result: Result<TopicsAnswer, ClientError>, _ now: Instant) {
        if number == naming {
            naming = nil
            // What is still without a name after this is asked for again, but not at once.
            namingDue = now + .seconds(1)
            if case .success(let answer) = result {
                for (name, topic) in answer.topics { names[topic.id] = name }
            }
        } else if number == look, let pattern = subscription?.pattern {
            look = nil
            switch result {
            case .success(let answer):
                pauses.reset()
                interest = answer.matched.map(Interest.names) ?? .regex(pattern)
                lookDue = answer.matched == nil ? nil : now + configuration.metadataMaximumAge
            case .failure(let error) where error.code == .cancelled: break
            case .failure(let error) where error.isRetriable: lookDue = now + pauses.next()
            case .failure(let error): failure = error.fatal()
            }
        }
    }

    // MARK: Replies

    private mutating func takeReply(_ number: Int, _ result: Result<GroupReply, ClientError>, _ now: Instant) {
        if phase == .sayingGoodbye(number) {
            phase = .ended
            actions.append(.left)
        }
        guard number == heartbeat else { return }
        heartbeat = nil
        switch result {
        case .success(.consumerHeartbeat(let reply)):
            let code = ErrorCode(rawValue: reply.errorCode)
            if code == .none { takeHeartbeat(reply, now) } else { takeError(code, reply.errorMessage, now) }
        case .success: preconditionFailure("the reply to another request")
        case .failure(let error): passOrFail(error, now)
        }
    }

    private mutating func takeHeartbeat(_ reply: ConsumerGroupHeartbeatResponse, _ now: Instant) {
        pauses.reset()
        if let id = reply.memberId, id != memberId {
            memberId = id
            hasOwnId = false
        }
        epoch = reply.memberEpoch
        phase = .member
        if reply.heartbeatIntervalMs > 0 { heartbeatInterval = .milliseconds(Int64(reply.heartbeatIntervalMs)) }
        heartbeatDue = now + heartbeatInterval
        guard let assignment = reply.assignment else { return }
        target = Set(
            assignment.topicPartitions.flatMap { topic in
                topic.partitions.map { Partition(topicId: topic.topicId, index: $0) }
            })
        namingDue = nil
    }

    private mutating func takeError(_ code: ErrorCode, _ message: String?, _ now: Instant) {
        switch code {
        case .unknownMemberId, .fencedMemberEpoch: reset(now)
        case .groupIdNotFound where epoch > 0: reset(now)
        default: passOrFail(.refused(code, subject, message: message), now)
        }
    }

    private mutating func passOrFail(_ error: ClientError, _ now: Instant) {
        if error.code == .cancelled { return }
        guard error.isRetriable else { return failure = error.fatal() }
        // The coordinator may not have heard the last heartbeat, or forgotten what it said: the next one says all.
        toldInterest = nil
        isPausing = true
        heartbeatDue = now + pauses.next()
    }
}
