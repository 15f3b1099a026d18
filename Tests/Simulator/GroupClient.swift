import HistoryChecker
import KafkaProtocol

/// Commits offsets of a group that has no members, and asks for those of groups.
final class GroupClient: Client {
    private let group: String
    private let partitions: [TopicPartition]
    /// Groups whose offsets are looked at, with their partitions.
    var watched: [(group: String, partition: TopicPartition)] = []
    private var committed: [TopicPartition: Int64] = [:]
    private(set) var isIdle = true

    init(_ world: World, _ number: Int, _ partitions: [TopicPartition]) {
        self.partitions = partitions
        group = "group-\(number)"
        super.init(world, "committer-\(number)", number)
        watched = partitions.map { (group, $0) }
    }

    func start() {
        timeline.after(timeline.between(100, 800), "group") { [self] in
            guard !isStopping else { return }
            isIdle = false
            let next = { [self] in
                isIdle = true
                start()
            }
            if timeline.chance(0.6) {
                commit(timeline.pick(partitions), next)
            } else {
                let one = timeline.pick(watched)
                fetch(one.group, one.partition, isFinal: false) { _ in next() }
            }
        }
    }

    private func commit(_ partition: TopicPartition, _ completion: @escaping () -> Void) {
        let limit = world.invariants.committedEnd(of: partition)
        let before = committed[partition] ?? 0
        guard limit > before else { return completion() }
        let offset = Int64.random(in: before + 1...limit, using: &timeline.random)
        committed[partition] = offset
        let invoked = time
        var isDoubtful = false
        retry(until: timeline.now + .seconds(10)) { [self] done in
            findCoordinator(of: group, type: 0) { [self] node in
                guard let node else { return done(false) }
                var request = OffsetCommitRequest()
                request.groupId = group
                request.topics = [OffsetCommitRequest.OffsetCommitRequestTopic()]
                request.topics[0].name = partition.topic
                request.topics[0].partitions = [OffsetCommitRequest.OffsetCommitRequestPartition()]
                request.topics[0].partitions[0].partitionIndex = partition.partition
                request.topics[0].partitions[0].committedOffset = offset
                ask(node, request, 7) { [self] response in
                    let code = response?.topics.first?.partitions.first.map { ErrorCode(rawValue: $0.errorCode) }
                    switch code {
                    case .some(.none):
                        record(partition, offset, invoked, .acknowledged)
                        done(true)
                    case nil, .requestTimedOut, .kafkaStorageError, .notCoordinator, .coordinatorNotAvailable:
                        // A coordinator that stops says so also of what it has written.
                        isDoubtful = true
                        done(false)
                    case .some(let code) where Self.isRetriable(code): done(false)
                    case .some(let code):
                        world.note("\(name) is told \(code)")
                        record(partition, offset, invoked, isDoubtful ? .unknown : .refused)
                        done(true)
                    }
                }
            }
        } _: { [self] isDone in
            if !isDone { record(partition, offset, invoked, .unknown) }
            completion()
        }
    }

    private func record(
        _ partition: TopicPartition, _ offset: Int64, _ invoked: Int, _ outcome: OffsetCommit.Outcome
    ) {
        world.count("offset-commits \(outcome)")
        world.history.record(
            name, time: Interval(invoked: invoked, completed: time),
            .offsetCommit(OffsetCommit(group, partition, offset: offset, outcome)))
    }

    /// Tells whether an answer was had.
    func fetch(
        _ group: String, _ partition: TopicPartition, isFinal: Bool, _ completion: @escaping (Bool) -> Void
    ) {
        let invoked = time
        findCoordinator(of: group, type: 0) { [self] node in
            guard let node else { return completion(false) }
            var request = OffsetFetchRequest()
            request.groupId = group
            request.requireStable = true
            request.topics = [OffsetFetchRequest.OffsetFetchRequestTopic()]
            request.topics![0].name = partition.topic
            request.topics![0].partitionIndexes = [partition.partition]
            ask(node, request, 7) { [self] response in
                guard let response, response.errorCode == 0, let answer = response.topics.first?.partitions.first,
                    answer.errorCode == 0
                else { return completion(false) }
                // Who coordinated before and does not know it yet may tell what was true then, as with Kafka.
                world.invariants.committedOffset(answer.committedOffset, of: group, partition)
                guard world.invariants.isCoordinator(node, of: group) else { return completion(false) }
                world.count("offset-fetches")
                world.history.record(
                    isFinal ? "final-offsets" : name, time: Interval(invoked: invoked, completed: time),
                    .offsetFetch(
                        OffsetFetch(
                            group, partition, offset: answer.committedOffset < 0 ? nil : answer.committedOffset,
                            isFinal: isFinal)))
                completion(true)
            }
        }
    }

    /// What groups have committed in the end.
    func fetchAll(_ completion: @escaping () -> Void) {
        fetchAll(watched[...], completion)
    }

    private func fetchAll(
        _ rest: ArraySlice<(group: String, partition: TopicPartition)>, _ completion: @escaping () -> Void
    ) {
        guard let first = rest.first else { return completion() }
        fetch(first.group, first.partition, isFinal: true) { [self] isDone in
            timeline.after(.milliseconds(20), "fetch-all") { [self] in
                fetchAll(isDone ? rest.dropFirst() : rest, completion)
            }
        }
    }
}
