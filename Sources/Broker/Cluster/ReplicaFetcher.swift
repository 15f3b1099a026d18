import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Replication
import Synchronization

/// Fetches the partitions that this node follows and one other leads, over a connection of its own: one fetch after the
/// other, each for all partitions, in a fetch session (KIP-227).
///
/// What the next fetch asks for is what the leader takes as kept. So with `durability=fsync` a fetch waits for the syncs of
/// what the one before brought: one for all its partitions.
final class ReplicaFetcher: Sendable {
    /// What else an assignment may bring before the fetch that waits at the leader is given up for it.
    private static let restartMilliseconds: Int64 = 5
    static let firstBackoffMilliseconds: Int64 = 20
    /// Beyond the time for which the leader may hold a fetch.
    private static let connectBackoffMilliseconds: Int64 = 50

    struct Key: Hashable, Sendable {
        var topicId: Uuid
        var partition: Int32
    }

    struct Assignment: Sendable {
        var follower: PartitionFollower
        var topicId: Uuid
    }

    struct Entry: Sendable {
        var follower: PartitionFollower
        /// What the session has of it; nil when it is not in the session.
        var inSession: Asked?
        /// Monotonic milliseconds.
        var delayedUntil: Int64 = 0
        var failures = 0
    }

    /// What a fetch says of a partition.
    struct Asked: Sendable, Equatable {
        var offset: Int64
        var lastEpoch: Int32
        var leaderEpoch: Int32
        var logStart: Int64
    }

    struct State: Sendable {
        var entries: [Key: Entry] = [:]
        var session: (id: Int32, epoch: Int32) = (0, 0)
        var forgotten: [Key] = []
        var channel: (any PeerChannel)?
        /// Counts the channels, so that what an earlier one brings is not taken for this one's.
        var generation = 0
        /// From building a fetch until its outcome is there.
        var isBusy = false
        /// While an outcome is worked in.
        var isWorking = false
        var isScheduled = false
        var isRestartScheduled = false
        var failures = 0
        var isStopped = false
    }

    let leader: Int32
    unowned let broker: Broker
    private let queue: any WorkQueue
    private let state = Mutex(State())

    init(leader: Int32, broker: Broker, queue: any WorkQueue) {
        self.leader = leader
        self.broker = broker
        self.queue = queue
    }

    private var now: Int64 { broker.clock.monotonicMilliseconds }

    // MARK: Assignment

    /// Takes over what is to be fetched.
    func assign(_ assignments: [Key: Assignment]) {
        let hasNew = state.withLock { state -> Bool in
            var hasNew = false
            for (key, entry) in state.entries where assignments[key]?.follower !== entry.follower {
                if entry.inSession != nil { state.forgotten.append(key) }
                state.entries[key] = nil
            }
            for (key, assignment) in assignments where state.entries[key] == nil {
                state.entries[key] = Entry(follower: assignment.follower)
                hasNew = true
            }
            return hasNew
        }
        // The fetch that waits at the leader knows nothing of the new ones.
        if hasNew { schedule(afterMilliseconds: Self.restartMilliseconds, restarting: true) }
    }

    func stop() {
        let channel = state.withLock { state in
            state.isStopped = true
            state.entries.removeAll()
            return state.channel
        }
        channel?.close()
    }

    private func schedule(afterMilliseconds delay: Int64, restarting: Bool = false) {
        let isNew = state.withLock { state in
            guard !(restarting ? state.isRestartScheduled : state.isScheduled) else { return false }
            if restarting { state.isRestartScheduled = true } else { state.isScheduled = true }
            return true
        }
        guard isNew else { return }
        queue.schedule(afterMilliseconds: delay) { [self] in
            state.withLock { state in
                if restarting { state.isRestartScheduled = false } else { state.isScheduled = false }
            }
            if restarting { disconnect() }
            proceed()
        }
    }

    private func disconnect() {
        let channel = state.withLock { state in
            defer { state.channel = nil }
            state.generation += 1
            // With its id the next full fetch ends the session at the leader.
            state.session.epoch = 0
            state.forgotten.removeAll()
            for key in state.entries.keys { state.entries[key]?.inSession = nil }
            state.isBusy = false
            return state.channel
        }
        channel?.close()
    }

    // MARK: Fetching

    /// Sends the next fetch, when what was fetched is where it must be.
    private func proceed() {
        let begun = state.withLock { state -> (generation: Int, followers: [PartitionFollower])? in
            guard !state.isBusy, !state.isWorking, !state.isStopped, !state.entries.isEmpty else { return nil }
            state.isBusy = true
            return (state.generation, state.entries.values.map(\.follower))
        }
        guard let begun else { return }
        // A topic's durability may have changed, or the log be from before a crash.
        let unsynchronized = begun.followers.filter { follower in
            let log = follower.log
            return log.durableOffset < log.endOffset && log.waitsForSync
        }
        guard !unsynchronized.isEmpty else {
            send(generation: begun.generation)
            return
        }
        let gathering = Gathering<Bool>(count: unsynchronized.count) { [self] _ in send(generation: begun.generation) }
        for (index, follower) in unsynchronized.enumerated() {
            follower.whenSynchronized(to: follower.log.endOffset, by: broker.synchronizer) {
                gathering.add(true, at: index)
            }
        }
    }

    private func send(generation: Int) {
        let configuration = broker.configuration
        let now = now
        let made = state.withLock { state -> (request: FetchRequest, channel: any PeerChannel)? in
            guard generation == state.generation, !state.isStopped else { return nil }
            guard let channel = state.channel ?? broker.peers.channel(to: leader) else {
                state.isBusy = false
                return nil
            }
            state.channel = channel
            guard let request = request(&state, configuration, now) else {
                state.isBusy = false
                return nil
            }
            return (request, channel)
        }
        guard let made else {
            if state.withLock({ !$0.isStopped && !$0.isBusy }) { schedule(afterMilliseconds: pauseWithoutFetch(now)) }
            return
        }
        let frame = Peers.frame(made.request, version: ReplicaFetchReply.version)
        made.channel.send(frame, timeoutMilliseconds: configuration.long("replica.socket.timeout.ms")) {
            [weak self] outcome in
            self?.take(outcome, generation: generation)
        }
    }

    /// Until the first of the delayed may be asked for; as long as may be when the disk takes nothing, or nobody leads.
    private func pauseWithoutFetch(_ now: Int64) -> Int64 {
        let limit = broker.configuration.long("replica.fetch.backoff.ms")
        if broker.logs.health.isOffline || broker.peers.endpoint(of: leader) == nil { return limit }
        let first = state.withLock { $0.entries.values.map(\.delayedUntil).min() } ?? now
        return min(limit, max(Self.firstBackoffMilliseconds, first - now))
    }

    // MARK: What came

    private func take(_ outcome: PeerOutcome, generation: Int) {
        let isCurrent = state.withLock { state in
            guard state.generation == generation, !state.isStopped else { return false }
            // Nothing is fetched meanwhile, also when the channel is given up: two replies must not meet in a log.
            state.isWorking = true
            return true
        }
        guard isCurrent else { return }
        guard case .reply(let bytes) = outcome, ReplicaFetchReply.cutsLogs(bytes) else {
            finish(workIn(outcome, generation: generation))
            return
        }
        // Cutting waits for the disk, which an event loop must not.
        let copy = [UInt8](bytes)
        queue.enqueue { [self] in
            finish(copy.withUnsafeBytes { workIn(.reply($0), generation: generation) })
        }
    }

    private func finish(_ pause: Int64?) {
        state.withLock { $0.isWorking = false }
        if let pause { schedule(afterMilliseconds: pause) } else { next() }
    }

    /// Returns how long to wait before the next fetch, nil when there is no need.
    private func workIn(_ outcome: PeerOutcome, generation: Int) -> Int64? {
        let limit = broker.configuration.long("replica.fetch.backoff.ms")
        switch outcome {
        case .failed(let failure):
            broker.logger.debug("replica.not-fetched", metadata: ["leader": "\(leader)", "error": "\(failure)"])
            let failures = state.withLock { state in
                state.failures += 1
                return state.failures
            }
            disconnect()
            return min(limit, Self.connectBackoffMilliseconds << Int64(min(failures - 1, 10)))
        case .reply(let bytes):
            do throws(ProtocolDecodingError) {
                let head = try ReplicaFetchReply.walk(bytes) { work(in: $0, bytes) }
                guard head.error == .none else {
                    // The session is gone, or never was this one's.
                    broker.logger.debug(
                        "replica.session-refused", metadata: ["leader": "\(leader)", "error": "\(head.error)"])
                    disconnect()
                    return Self.firstBackoffMilliseconds
                }
                state.withLock { state in
                    guard state.generation == generation else { return }
                    state.failures = 0
                    state.session.id = head.sessionId
                    // No session was given: every fetch then says everything.
                    state.session.epoch = head.sessionId == 0 ? 0 : FetchSession.epoch(after: state.session.epoch)
                    state.isBusy = false
                }
                return nil
            } catch {
                broker.logger.error(
                    "replica.reply-unreadable", metadata: ["leader": "\(leader)", "error": "\(error)"])
                disconnect()
                return limit
            }
        }
    }

    /// Goes on, at once or when the first of the delayed partitions may be asked for again.
    private func next() {
        let now = now
        let delay = state.withLock { state -> Int64? in
            guard let first = state.entries.values.map(\.delayedUntil).min() else { return nil }
            return max(0, first - now)
        }
        guard let delay else { return }
        if delay == 0 { proceed() } else { schedule(afterMilliseconds: delay) }
    }

    /// How long the partition must wait because it is throttled (KIP-73), in milliseconds.
    private func throttle(_ follower: PartitionFollower, bytes: Int) -> Int64 {
        guard bytes > 0, let topic = broker.topics.topic(named: follower.topic), !topic.throttled.followers.isEmpty,
            topic.throttled.followers.contains(partition: follower.partition, broker: broker.cluster.nodeId)
        else { return 0 }
        let rate = broker.configuration.long("follower.replication.throttled.rate")
        broker.followerThrottle.passed(bytes: bytes, rate: rate, now: now)
        return broker.followerThrottle.delay(rate: rate, now: now)
    }

    private func work(in part: ReplicaFetchReply.Partition, _ bytes: UnsafeRawBufferPointer) {
        let key = Key(topicId: part.topicId, partition: part.partition)
        guard let entry = state.withLock({ $0.entries[key] }), entry.inSession != nil else { return }
        let failure = PartitionFetch(follower: entry.follower, broker: broker).work(in: part, bytes)
        let pause = failure == nil ? throttle(entry.follower, bytes: part.records.count) : 0
        state.withLock { state in
            guard state.entries[key]?.follower === entry.follower else { return }
            if pause > 0 { state.entries[key]?.delayedUntil = now + pause }
            guard let failure else {
                state.entries[key]?.failures = 0
                return
            }
            let failures = entry.failures + 1
            let limit = broker.configuration.long("replica.fetch.backoff.ms")
            state.entries[key]?.failures = failures
            state.entries[key]?.delayedUntil =
                now + min(limit, Self.firstBackoffMilliseconds << Int64(min(failures - 1, 10)))
            broker.logger.log(
                level: failures > 5 ? .warning : .debug, "replica.partition-not-fetched",
                metadata: ["partition": "\(entry.follower.log.name)", "leader": "\(leader)", "error": "\(failure)"])
        }
    }
}
