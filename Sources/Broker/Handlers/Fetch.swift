import KafkaProtocol

/// Fetch: records out of partitions, in the stored form, without a copy where the kernel can send the file itself.
enum FetchHandler: RequestHandler {
    typealias Request = FetchRequest

    static func handle(_ request: FetchRequest, _ context: RequestContext) -> HandlerOutcome<FetchResponse> {
        let asked = partitions(of: request)
        let usesTopicIds = context.version >= 13
        let sessions = context.broker.fetchSessions
        var session: FetchSession?
        var partitions = asked
        var isIncremental = false

        if context.version >= 7 {
            switch request.sessionEpoch {
            case -1:
                sessions.remove(request.sessionId)
            case 0:
                sessions.remove(request.sessionId)
                session = sessions.make(asked, usesTopicIds: usesTopicIds, now: context.loop.tickStart)
            default:
                guard let known = sessions.session(request.sessionId, now: context.loop.tickStart) else {
                    return refuse(.fetchSessionIdNotFound)
                }
                let forgotten = forgottenPartitions(of: request)
                let refusal = known.state.withLock { state -> ErrorCode in
                    guard state.epoch == request.sessionEpoch else { return .invalidFetchSessionEpoch }
                    guard state.usesTopicIds == usesTopicIds else { return .fetchSessionTopicIdError }
                    state.forget(forgotten)
                    for partition in asked { state.update(partition) }
                    state.epoch = FetchSession.epoch(after: state.epoch)
                    partitions = state.partitions
                    return .none
                }
                guard refusal == .none else { return refuse(refusal) }
                session = known
                isIncremental = true
            }
        }

        let fetch = PendingFetch(
            request: request, version: context.version, correlationId: context.correlationId,
            partitions: partitions, session: session, isIncremental: isIncremental, start: context.loop.tickStart,
            listener: context.connection.listener)
        fetch.begin(context)
        return .later
    }

    private static func refuse(_ code: ErrorCode) -> HandlerOutcome<FetchResponse> {
        var response = FetchResponse()
        response.errorCode = code.rawValue
        return .reply(response)
    }

    private static func partitions(of request: FetchRequest) -> [FetchPartition] {
        var result: [FetchPartition] = []
        for topic in request.topics {
            for partition in topic.partitions {
                result.append(
                    FetchPartition(
                        topicName: topic.topic, topicId: topic.topicId, partition: partition.partition,
                        fetchOffset: partition.fetchOffset, maxBytes: partition.partitionMaxBytes,
                        currentLeaderEpoch: partition.currentLeaderEpoch,
                        lastFetchedEpoch: partition.lastFetchedEpoch))
            }
        }
        return result
    }

    private static func forgottenPartitions(of request: FetchRequest) -> [FetchPartitionKey] {
        request.forgottenTopicsData.flatMap { topic in
            topic.partitions.map {
                FetchPartitionKey(topicName: topic.topic, topicId: topic.topicId, partition: $0)
            }
        }
    }
}
