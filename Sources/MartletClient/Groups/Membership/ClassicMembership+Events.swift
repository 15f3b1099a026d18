import KafkaProtocol

/// What events say.
extension ClassicMembership {
    /// How soon the leader looks again for topics that the group reads and that do not exist.
    static let missingTopicInterval: Duration = .seconds(5)

    mutating func take(_ event: MembershipEvent, _ now: Instant) {
        guard phase != .ended else { return takeAfterEnd(event) }
        switch event {
        case .subscribed(let subscription): subscribe(subscription)
        case .timeReached: break
        case .delegateReturned: isDelegateAtWork = false
        case .replied(let number, let result): takeReply(number, result, now)
        case .toldTopics(let number, let result): takeTopics(number, result, now)
        case .commitRefused(let code, let refused):
            if refused == identity { takeRefusal(code) }
        case .pollTimedOut:
            // One that leaves says when it is over.
            if case .sayingGoodbye = phase { return }
            guard departure == nil else { return }
            guard phase != .away else { return actions.append(.left) }
            departure = .forNow
            // At once: the delegate may be at work for long, and the others need not wait.
            _ = sayGoodbye()
            phase = .away
        case .polled:
            if departure == .forNow { mustReturn = true }
            guard isOut else { return }
            isOut = false
            phase = .preparing
        case .rebalanceWanted: mustRejoin = true
        case .leave:
            if case .sayingGoodbye = phase { return }
            departure = .forGood
            phase = .leaving
        }
    }

    /// Replies may come late; whoever wants to leave has left.
    private mutating func takeAfterEnd(_ event: MembershipEvent) {
        switch event {
        case .leave, .pollTimedOut: actions.append(.left)
        default: break
        }
    }

    private mutating func subscribe(_ new: TopicSubscription) {
        guard new != subscription else { return }
        subscription = new
        if case .topics(let names) = new { topics = names } else { topics = nil }
        mustRejoin = true
        switch phase {
        // Begins, or asks anew for what the pattern matches.
        case .away where departure == nil && !isOut, .resolving: phase = .preparing
        default: break
        }
    }

    // MARK: Topics

    private mutating func takeTopics(_ number: Int, _ result: Result<TopicsAnswer, ClientError>, _ now: Instant) {
        if number == look { return takeLook(result, now) }
        switch (phase, result) {
        case (.resolving(number), .success(let answer)):
            topics = answer.matched ?? []
            phase = .preparing
        case (.dividing(number, let joined), .success(let answer)): divide(joined, answer, now)
        case (.resolving(number), .failure(let error)), (.dividing(number, _), .failure(let error)):
            passOrFail(error, now)
        default: break
        }
    }

    private mutating func takeLook(_ result: Result<TopicsAnswer, ClientError>, _ now: Instant) {
        look = nil
        lookDue = now + configuration.metadataMaximumAge
        guard case .success(let answer) = result else {
            // The next look is soon enough for what has not changed anything yet.
            lookDue = now + min(configuration.metadataMaximumAge, Self.missingTopicInterval)
            return
        }
        if subscription?.pattern != nil, let matched = answer.matched, matched != topics {
            topics = matched
            mustRejoin = true
        }
        if let divided {
            if divided != counts(answer) { mustRejoin = true }
            lookSooner(now)
        }
    }

    private mutating func lookSooner(_ now: Instant) {
        guard let divided, groupTopics.contains(where: { divided[$0] == nil }) else { return }
        lookDue = now + min(configuration.metadataMaximumAge, Self.missingTopicInterval)
    }

    private func counts(_ answer: TopicsAnswer) -> [String: Int] {
        answer.topics.filter { groupTopics.contains($0.key) }.mapValues(\.partitionCount)
    }

    private mutating func divide(_ joined: JoinGroupResponse, _ answer: TopicsAnswer, _ now: Instant) {
        let counts = counts(answer)
        divided = counts
        lookSooner(now)
        guard !joined.skipAssignment else { return synchronize(joined) }
        guard let strategy = configuration.strategies.first(where: { $0.name == joined.protocolName }) else {
            return failure = .refused(.inconsistentGroupProtocol, subject)
        }
        do throws(ClientError) {
            let members = try joined.members.map { member throws(ClientError) in
                try MemberSubscription.decode(member.metadata)
                    .member(member.memberId, instanceId: member.groupInstanceId, for: strategy)
            }
            synchronize(joined, strategy.assign(members, partitionCounts: counts))
        } catch {
            failure = error
        }
    }

    // MARK: Replies

    private mutating func takeReply(_ number: Int, _ result: Result<GroupReply, ClientError>, _ now: Instant) {
        if number == heartbeat { return takeHeartbeat(result, now) }
        switch (phase, result) {
        case (.sayingGoodbye(number), _):
            phase = .ended
            actions.append(.left)
        case (.joining(number), .success(.join(let reply))): takeJoin(reply, now)
        case (.syncing(number, let name), .success(.sync(let reply))): takeSync(reply, protocolName: name, now)
        case (.joining(number), .failure(let error)), (.syncing(number, _), .failure(let error)):
            passOrFail(error, now)
        default: break
        }
    }

    private mutating func takeJoin(_ reply: JoinGroupResponse, _ now: Instant) {
        let code = ErrorCode(rawValue: reply.errorCode)
        switch code {
        case .none: break
        case .memberIdRequired:
            // One that has an id already would ask for ever.
            if memberId.isEmpty { phase = .preparing } else { pause(now) }
            memberId = reply.memberId
            return
        default: return takeRebalanceError(code, now)
        }
        guard let name = reply.protocolName, configuration.strategies.contains(where: { $0.name == name }),
            reply.protocolType ?? "consumer" == "consumer"
        else { return failure = .refused(.inconsistentGroupProtocol, subject) }
        memberId = reply.memberId
        generation = reply.generationId
        heartbeat = nil
        heartbeatDue = now + configuration.heartbeatInterval
        divided = nil
        look = nil
        lookDue = subscription?.pattern == nil ? nil : now + configuration.metadataMaximumAge
        guard reply.leader == memberId else { return synchronize(reply) }
        do throws(ClientError) {
            groupTopics = []
            for member in reply.members {
                groupTopics.formUnion(try MemberSubscription.decode(member.metadata).topics)
            }
        } catch {
            return failure = error
        }
        lookDue = now + configuration.metadataMaximumAge
        let number = nextNumber()
        phase = .dividing(number, reply)
        actions.append(.askForTopics(number, TopicsQuestion(names: groupTopics)))
    }

    private mutating func takeSync(_ reply: SyncGroupResponse, protocolName: String, _ now: Instant) {
        let code = ErrorCode(rawValue: reply.errorCode)
        guard code == .none else { return takeRebalanceError(code, now) }
        guard reply.protocolType ?? "consumer" == "consumer", reply.protocolName ?? protocolName == protocolName else {
            return failure = .refused(.inconsistentGroupProtocol, subject)
        }
        do throws(ClientError) {
            let assigned = try ConsumerProtocol.assignment(reply.assignment).sorted()
            pauses.reset()
            previous = StickyUserData(partitions: assigned, generation: generation)
            // The subscription may have changed since the join; then it joins again right after this.
            take(assignment: assigned.filter { topics?.contains($0.topic) ?? true })
        } catch {
            failure = error
        }
    }

    /// The errors of JoinGroup and SyncGroup.
    private mutating func takeRebalanceError(_ code: ErrorCode, _ now: Instant) {
        switch code {
        case .unknownMemberId, .illegalGeneration:
            reset(idToo: code == .unknownMemberId)
            pause(now)
        case .rebalanceInProgress: phase = .preparing
        default: passOrFail(.refused(code, subject), now)
        }
    }

    private mutating func passOrFail(_ error: ClientError, _ now: Instant) {
        if error.code == .cancelled { return }
        if error.isRetriable { pause(now) } else { failure = error.fatal() }
    }

    private mutating func takeHeartbeat(_ result: Result<GroupReply, ClientError>, _ now: Instant) {
        heartbeat = nil
        // The one of a generation that has passed says nothing of this one.
        guard heartbeatIdentity == identity else { return heartbeatDue = now }
        let error: ClientError
        switch result {
        case .success(let reply):
            switch reply.code {
            case .none, .rebalanceInProgress, .illegalGeneration, .unknownMemberId:
                heartbeatPauses.reset()
                heartbeatDue = now + configuration.heartbeatInterval
                return takeRefusal(reply.code)
            default: error = .refused(reply.code, subject)
            }
        case .failure(let failed): error = failed
        }
        if error.code == .cancelled { return }
        guard error.isRetriable else { return failure = error.fatal() }
        heartbeatDue = now + heartbeatPauses.next()
    }

    /// What a heartbeat or a commit says of the member.
    private mutating func takeRefusal(_ code: ErrorCode) {
        switch code {
        case .rebalanceInProgress:
            switch phase {
            case .settled, .taking: mustRejoin = true
            default: break
            }
        case .unknownMemberId: if phase != .away { reset(idToo: true) }
        case .illegalGeneration:
            // While it joins, the generation passes; the reply to the join says which one is next.
            if case .joining = phase { return }
            if phase != .away { reset(idToo: false) }
        case .fencedInstanceId: failure = ClientError.refused(code, subject).fatal()
        default: break
        }
    }
}
