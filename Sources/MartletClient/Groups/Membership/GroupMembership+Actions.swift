import KafkaProtocol

/// Carries out what the state machine decides, each action in a task of its own whose end is an event.
extension GroupMembership {
    func perform(_ action: MembershipAction) {
        switch action {
        case .send(let number, let request):
            let abandoned = request.waitsForMembers ? takeRebalanceRequest(before: number) : nil
            start(number) {
                if let abandoned {
                    abandoned.cancel()
                    await self.cluster.endConnection(self.route, for: .rebalance)
                }
                return await self.answer(number, request)
            }
        case .askForTopics(let number, let question):
            start(number) { .toldTopics(number, await self.answer(question)) }
        case .revoke(let partitions, let lost):
            if lost { state.withLock { $0.losses += 1 } }
            logger.debug(
                lost ? "group.partitions.lost" : "group.partitions.revoked",
                metadata: ["partitions": "\(partitions)"])
            call { await $0.partitionsRevoked(partitions, lost: lost) }
        case .assign(let added, let all):
            let identity = identity
            logger.debug(
                "group.partitions.assigned",
                metadata: ["added": "\(added)", "all": "\(all)", "epoch": "\(identity.epoch)"])
            call { await $0.partitionsAssigned(added, all: all) }
        case .fail(let error):
            logger.error("group.membership.failed", metadata: ["error": "\(error)"])
            let delegate = state.withLock { $0.delegate }
            Task { await delegate?.membershipFailed(error) }
        case .left:
            let waiters = state.withLock { state in
                defer { state.waiters = [] }
                return state.waiters
            }
            for waiter in waiters { waiter.resume() }
        }
    }

    /// The request before, when the member has not waited for its reply: the broker answers in order, so that this one would
    /// have to wait for it.
    private func takeRebalanceRequest(before number: Int) -> Task<Void, Never>? {
        state.withLock { state in
            defer { state.lastRebalanceRequest = number }
            return state.lastRebalanceRequest.flatMap { state.requests[$0] }
        }
    }

    private func start(_ number: Int, _ work: @escaping @Sendable () async -> MembershipEvent) {
        state.withLock { state in
            state.requests[number] = Task {
                let event = await work()
                self.state.withLock { $0.requests[number] = nil }
                self.handle(event)
            }
        }
    }

    private func call(_ body: @escaping @Sendable (any GroupMembershipDelegate) async -> Void) {
        let delegate = state.withLock { $0.delegate }
        Task {
            if let delegate {
                await body(delegate)
            } else {
                // Nobody will consume any more.
                handle(.leave)
            }
            handle(.delegateReturned)
        }
    }

    // MARK: Requests

    private func answer(_ number: Int, _ request: GroupRequest) async -> MembershipEvent {
        let result: Result<GroupReply, ClientError>
        if request.isGoodbye {
            result = await goodbye(number, request)
        } else {
            result = await send(request)
        }
        switch result {
        case .success(let reply) where reply.code != .none:
            logger.debug("group.refused", metadata: ["error": "\(reply.code)"])
        case .failure(let error): logger.debug("group.unreachable", metadata: ["error": "\(error)"])
        case .success: break
        }
        return .replied(number, result)
    }

    /// Nobody waits longer than the limit for it, whatever the connection does.
    private func goodbye(_ number: Int, _ request: GroupRequest) async -> Result<GroupReply, ClientError> {
        let timer = Task {
            guard await Self.sleep(until: .now + configuration.leaveTimeout) else { return }
            let error = ClientError(.timedOut, "the coordinator of the group did not answer the member that left")
            state.withLock { $0.leaveError = error }
            handle(.replied(number, .failure(error)))
        }
        let result = await send(request)
        timer.cancel()
        state.withLock { state in
            switch result {
            case .success(let reply):
                switch reply.code {
                // Who is no member any more is out as well.
                case .none, .unknownMemberId, .fencedMemberEpoch, .groupIdNotFound: break
                default: state.leaveError = .refused(reply.code, "group '\(configuration.groupId)'")
                }
            case .failure(let error): state.leaveError = error
            }
        }
        return result
    }

    // MARK: Topics

    private func answer(_ question: TopicsQuestion) async -> Result<TopicsAnswer, ClientError> {
        do throws(ClientError) {
            if question.brokerMayMatch {
                let connection = try await cluster.connection(route)
                if connection.version(of: ConsumerGroupHeartbeatRequest.self) ?? 0 >= 1 {
                    return .success(TopicsAnswer())
                }
            }
            let response = try await metadata(question)
            var answer = TopicsAnswer()
            var candidates: [String] = []
            for topic in response.topics {
                guard let name = topic.name else { continue }
                let code = ErrorCode(rawValue: topic.errorCode)
                if code == .topicAuthorizationFailed || code == .invalidTopicException {
                    // It would be missing without a word.
                    logger.warning("group.topic-refused", metadata: ["topic": "\(name)", "error": "\(code)"])
                }
                guard code == .none else { continue }
                answer.topics[name] = TopicsAnswer.Topic(id: topic.topicId, partitionCount: topic.partitions.count)
                if !topic.isInternal || !configuration.excludesInternalTopics { candidates.append(name) }
            }
            if let pattern = question.pattern {
                answer.matched = try TopicPattern.matches(of: pattern, among: candidates)
            }
            return .success(answer)
        } catch {
            await cluster.forget(route, after: error)
            return .failure(error)
        }
    }

    private func metadata(_ question: TopicsQuestion) async throws(ClientError) -> MetadataResponse {
        if question.pattern != nil { return try await cluster.refreshMetadata(of: nil) }
        if question.ids.isEmpty { return try await cluster.refreshMetadata(of: question.names.sorted()) }
        let connection = try await cluster.connection(.any)
        // Before version 12 topics cannot be asked for by id alone.
        guard connection.version(of: MetadataRequest.self) ?? 0 >= 12 else {
            return try await cluster.refreshMetadata(of: nil)
        }
        var request = MetadataRequest()
        request.allowAutoTopicCreation = false
        request.topics = question.ids.map { id in
            var topic = MetadataRequest.MetadataRequestTopic()
            topic.topicId = id
            topic.name = nil
            return topic
        }
        return try await connection.send(request)
    }
}
