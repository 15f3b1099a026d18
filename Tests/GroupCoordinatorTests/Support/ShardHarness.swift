import CoordinatorCore
import KafkaProtocol
import TestSupport

@testable import GroupCoordinator

/// Knows only what the tests need: "prefix*" and literal names; a pattern with "[" and no "]" is not valid.
struct PrefixPatternMatcher: TopicPatternMatcher {
    func topics(matching pattern: String, among topics: some Collection<String>) -> Set<String>? {
        if pattern.contains("[") { return nil }
        guard pattern.hasSuffix("*") else { return Set(topics.filter { $0 == pattern }) }
        return Set(topics.filter { $0.hasPrefix(pattern.dropLast()) })
    }
}

/// A driver with a log in memory. Appends become durable at once, unless `holdsAppends`.
final class ShardHarness {
    var shard: GroupCoordinatorShard
    let configuration: GroupConfiguration
    var topics = TopicsImage()
    var batches: [CoordinatorBatch] = []
    var replies: [RequestToken: GroupResponse] = [:]
    /// All that the shard asked for, in order.
    var actions: [GroupAction] = []
    var held: [Held] = []
    var holdsAppends = false
    var now: Int64 = 1_000_000
    var generator = SeededGenerator(seed: 1)
    private var nextToken: UInt64 = 1

    struct Held {
        let batch: CoordinatorBatch
        let token: AppendToken

        var records: [CoordinatorRecord] { batch.records }
    }

    /// The records of the log without its transactions.
    var log: [CoordinatorRecord] {
        get { batches.flatMap(\.records) }
        set { batches = [.records(newValue)] }
    }

    init(_ configuration: GroupConfiguration = GroupConfiguration(), topics: TopicsImage = TopicsImage()) {
        self.configuration = configuration
        self.topics = topics
        shard = GroupCoordinatorShard(configuration: configuration, patternMatcher: PrefixPatternMatcher())
        load()
    }

    private func load() {
        shard = GroupCoordinatorShard(configuration: configuration, patternMatcher: PrefixPatternMatcher())
        var requested: [GroupAction] = []
        shard.topicsChanged(topics, now: now, into: &requested)
        for batch in batches {
            if case .endOfTransaction(var end) = batch {
                end.transactionVersion = 0
                shard.replay(end)
            }
            for record in batch.records {
                do {
                    try shard.replay(key: record.key, value: record.value, by: batch.producer)
                } catch {
                    fatalError("cannot replay: \(error)")
                }
            }
        }
        shard.finishLoading(now: now, into: &requested)
        carryOut(requested)
    }

    /// The coordinator dies and another one reads the log.
    func restart() {
        held = []
        load()
    }

    // MARK: Events

    @discardableResult
    func send(
        _ request: GroupRequest, version: Int16, clientId: String = "client"
    ) -> RequestToken {
        let token = RequestToken(rawValue: nextToken)
        nextToken += 1
        let context = CoordinatorRequestContext(apiVersion: version, clientId: clientId, clientHost: "/127.0.0.1")
        var requested: [GroupAction] = []
        shard.handle(request, token: token, context: context, now: now, using: &generator, into: &requested)
        carryOut(requested)
        return token
    }

    /// Lets time pass, firing every timer at its own moment.
    func advance(to time: Int64) {
        while let deadline = shard.nextDeadline, deadline <= time {
            now = max(now, deadline)
            var requested: [GroupAction] = []
            shard.advance(now: now, into: &requested)
            carryOut(requested)
        }
        now = time
    }

    func advance(by milliseconds: Int64) {
        advance(to: now + milliseconds)
    }

    func setTopics(_ image: TopicsImage) {
        topics = image
        var requested: [GroupAction] = []
        shard.topicsChanged(image, now: now, into: &requested)
        carryOut(requested)
    }

    func completeAppend(error: ErrorCode? = nil) {
        let append = held.removeFirst()
        if error == nil { batches.append(append.batch) }
        var requested: [GroupAction] = []
        shard.appended(append.token, error: error, now: now, into: &requested)
        carryOut(requested)
    }

    private func carryOut(_ requested: [GroupAction]) {
        actions += requested
        for action in requested {
            switch action {
            case .append(let batch, let token):
                held.append(Held(batch: batch, token: token))
            case .reply(let token, let response):
                precondition(replies[token] == nil, "a request was answered twice")
                replies[token] = response
            }
        }
        if !holdsAppends {
            while !held.isEmpty { completeAppend() }
        }
    }

    // MARK: What the log says

    var records: [GroupRecord] {
        log.map { record in
            guard case .record(let typed)? = try? GroupRecord.decode(key: record.key, value: record.value) else {
                fatalError("the shard wrote a record that it cannot read")
            }
            return typed
        }
    }
}

extension CoordinatorBatch {
    var records: [CoordinatorRecord] {
        switch self {
        case .records(let records), .transactional(let records, _): records
        case .endOfTransaction: []
        }
    }

    var producer: TransactionalProducer? {
        if case .transactional(_, let producer) = self { return producer }
        return nil
    }
}

extension TopicsImage {
    /// Topics "t0"… with ids that sort like their names.
    static func numbered(_ partitionCounts: Int32...) -> TopicsImage {
        TopicsImage(
            partitionCounts.enumerated().map { index, count in
                Topic(id: Uuid(high: 0, low: UInt64(index + 1)), name: "t\(index)", partitionCount: count)
            })
    }
}
