import CoordinatorCore
import KafkaProtocol

/// The groups and committed offsets of one partition of `__consumer_offsets`: a state machine without clock, I/O and
/// randomness of its own. Times are milliseconds of the wall clock, since offsets are stamped with them; a clock that
/// steps makes sessions longer or shorter, never wrong.
///
/// A further duty of the driver: call `topicsChanged` with every new image of the topics, before `finishLoading` for the
/// first time.
package struct GroupCoordinatorShard: CoordinatorStateMachine {
    package typealias Effect = Never

    enum Phase: Sendable, Equatable {
        case loading
        case active
        case failed(ErrorCode)
    }

    let configuration: GroupConfiguration
    let patternMatcher: any TopicPatternMatcher
    var phase: Phase = .loading
    /// A group is in at most one of these two.
    var classicGroups: [String: ClassicGroup] = [:]
    var consumerGroups: [String: ConsumerGroup] = [:]
    var offsets = OffsetStore()
    var producers = TransactionalProducers()
    /// Counts the records of offsets, in the log and after it.
    var offsetRecordCount: UInt64 = 0
    var loadedAt: Int64?
    var topics = TopicsImage()
    var topicsVersion: UInt64 = 1
    var effects = GroupEffects()
    var replies = ReplyQueue<GroupResponse, Never>()
    /// Kinds of records in the log that this build does not know, with how many there were. They are left where they
    /// are.
    package internal(set) var skippedKeyVersions: [Int16: Int] = [:]

    package init(configuration: GroupConfiguration, patternMatcher: any TopicPatternMatcher) {
        self.configuration = configuration
        self.patternMatcher = patternMatcher
    }

    var environment: ConsumerGroupEnvironment {
        ConsumerGroupEnvironment(
            configuration: configuration, topics: topics, topicsVersion: topicsVersion, patternMatcher: patternMatcher)
    }

    // MARK: Requests

    /// Handles a request. Its reply is among the actions of this call or of a later one.
    package mutating func handle(
        _ request: GroupRequest, token: RequestToken, context: CoordinatorRequestContext, now: Int64,
        using generator: inout some RandomNumberGenerator, into actions: inout [GroupAction]
    ) {
        effects.now = now
        switch phase {
        case .loading:
            let code = ErrorCode.coordinatorLoadInProgress
            effects.reply(token, .failure(request, apiVersion: context.apiVersion, code))
        case .failed(let code):
            effects.reply(token, .failure(request, apiVersion: context.apiVersion, code))
        case .active:
            dispatch(request, token, context, using: &generator)
        }
        effects.flush(through: &replies, into: &actions)
    }

    private mutating func dispatch(
        _ request: GroupRequest, _ token: RequestToken, _ context: CoordinatorRequestContext,
        using generator: inout some RandomNumberGenerator
    ) {
        switch request {
        case .joinGroup(let request):
            joinGroup(request, token, context, using: &generator)
        case .syncGroup(let request):
            syncGroup(request, ParkedRequest(token: token, apiVersion: context.apiVersion))
        case .heartbeat(let request):
            effects.reply(token, .heartbeat(heartbeat(request)))
        case .leaveGroup(let request):
            // Members that wait are answered first, then the one that leaves.
            let response = leaveGroup(request, context)
            effects.reply(token, .leaveGroup(response))
        case .consumerGroupHeartbeat(let request):
            effects.reply(
                token, .consumerGroupHeartbeat(consumerGroupHeartbeat(request, context, using: &generator)))
        case .offsetCommit(let request):
            effects.reply(token, .offsetCommit(commitOffsets(request, context)))
        case .offsetFetch(let request):
            effects.reply(token, .offsetFetch(fetchOffsets(request, context)))
        case .offsetDelete(let request):
            effects.reply(token, .offsetDelete(deleteOffsets(request)))
        case .describeGroups(let request):
            effects.reply(token, .describeGroups(describeGroups(request, context)))
        case .consumerGroupDescribe(let request):
            effects.reply(token, .consumerGroupDescribe(describeConsumerGroups(request)))
        case .listGroups(let request):
            effects.reply(token, .listGroups(listGroups(request)))
        case .deleteGroups(let request):
            effects.reply(token, .deleteGroups(deleteGroups(request)))
        case .txnOffsetCommit(let request, let transactionGuard):
            effects.reply(token, .txnOffsetCommit(commitOffsets(request, transactionGuard)))
        case .endTransaction(let end):
            effects.reply(token, .endTransaction(endTransaction(end)))
        }
    }

    package static func refusal(of request: GroupRequest, apiVersion: Int16, _ code: ErrorCode) -> GroupResponse {
        .failure(request, apiVersion: apiVersion, code)
    }

    // MARK: Appends

    /// Reports the end of an append. With an error the shard is of no further use.
    package mutating func appended(
        _ token: AppendToken, error: ErrorCode?, now: Int64, into actions: inout [GroupAction]
    ) {
        guard let error else {
            replies.succeeded(token, into: &actions)
            return
        }
        replies.failed(token, error, into: &actions)
        end(AppendError.bystanderCode(for: error), now: now, into: &actions)
    }

    /// Ends the shard, because the partition moves to another broker or this one stops: all open requests are answered
    /// with `error`.
    package mutating func unload(error: ErrorCode, now: Int64, into actions: inout [GroupAction]) {
        replies.failAll(error, into: &actions)
        end(error, now: now, into: &actions)
    }

    private mutating func end(_ code: ErrorCode, now: Int64, into actions: inout [GroupAction]) {
        effects.now = now
        for groupId in classicGroups.keys.sorted() { classicGroups[groupId]!.failParkedRequests(code, &effects) }
        effects.deadlines = DeadlineQueue()
        phase = .failed(code)
        effects.flush(through: &replies, into: &actions)
    }

    // MARK: Time

    /// When `advance` must be called at the latest; it may turn out that nothing was due.
    package var nextDeadline: Int64? { effects.deadlines.nextDeadline }

    package mutating func advance(now: Int64, into actions: inout [GroupAction]) {
        guard phase == .active else { return }
        effects.now = now
        while let timer = effects.deadlines.popExpired(now: now) {
            fire(timer)
            // Each timer is an event of its own, so that its records are one batch.
            effects.flush(through: &replies, into: &actions)
        }
    }

    private mutating func fire(_ timer: GroupTimer) {
        let configuration = configuration
        let environment = environment
        switch timer {
        case .classicSession(let groupId, let memberId):
            classicGroups[groupId]?.sessionExpired(memberId, configuration, &effects)
        case .classicJoin(let groupId):
            classicGroups[groupId]?.joinTimedOut(configuration, &effects)
        case .classicSync(let groupId):
            classicGroups[groupId]?.syncTimedOut(configuration, &effects)
        case .consumerSession(let groupId, let memberId):
            consumerGroups[groupId]?.sessionExpired(memberId, environment, &effects)
        case .consumerRebalance(let groupId, let memberId):
            consumerGroups[groupId]?.rebalanceTimedOut(memberId, environment, &effects)
        case .offsetExpiration:
            expireOffsets()
        }
    }

    // MARK: Topics

    /// Takes a new image of the topics. Consumer groups look at it with their members' next heartbeats; offsets in
    /// topics that are gone are deleted at once.
    package mutating func topicsChanged(
        _ image: TopicsImage, now: Int64, into actions: inout [GroupAction]
    ) {
        effects.now = now
        let gone = topics.topicsByName.filter { name, topic in image.topicsByName[name]?.id != topic.id }
        topics = image
        topicsVersion += 1
        if phase == .active && !gone.isEmpty {
            deleteOffsets(ofTopics: Set(gone.keys))
            effects.flush(through: &replies, into: &actions)
        }
    }
}
