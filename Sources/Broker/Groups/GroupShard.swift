import CommitLog
import GroupCoordinator
import KafkaProtocol
import RecordFormat
import Replication
import Synchronization

/// Drives one `GroupCoordinatorShard`: carries its records to the partition's log, tells it when they are there, wakes
/// it when its timers are due and hands its replies to whoever asked.
///
/// The state machine runs under the lock; its actions are carried out outside it, by one thread at a time and in order,
/// because appending may complete other waits, which may come back here.
final class GroupShard: Sendable {
    typealias Reply = @Sendable (CoordinatorResponse) -> Void

    let leader: PartitionLeader
    private unowned let broker: Broker
    private let state: Mutex<State>

    private struct State: Sendable {
        var machine: GroupCoordinatorShard
        var actions: [CoordinatorAction] = []
        /// Whether a thread is carrying out actions.
        var isDraining = false
        var replies: [RequestToken: Reply] = [:]
        var nextToken: UInt64 = 0
        /// Appends that wait for the high watermark.
        var appends: [UInt64: AppendToken] = [:]
        /// Counts the machines, so that what belongs to one that failed does not reach the next.
        var incarnation: Int32 = 0
        /// An append of this machine failed; it waits to be replaced.
        var hasFailed = false
        var wakeAt: Int64?
        var isStopped = false
    }

    init(leader: PartitionLeader, broker: Broker) {
        self.leader = leader
        self.broker = broker
        state = Mutex(State(machine: GroupShard.machine(broker)))
    }

    private static func machine(_ broker: Broker) -> GroupCoordinatorShard {
        GroupCoordinatorShard(configuration: broker.groups.configuration, patternMatcher: TopicPatternEngine())
    }

    private var now: Int64 { broker.clock.wallMilliseconds }

    // MARK: Requests

    func handle(_ request: CoordinatorRequest, _ context: GroupCoordinator.RequestContext, reply: @escaping Reply) {
        let now = now
        state.withLock { state in
            let token = RequestToken(rawValue: state.nextToken)
            state.nextToken += 1
            state.replies[token] = reply
            var generator = SystemRandomNumberGenerator()
            state.machine.handle(
                request, token: token, context: context, now: now, using: &generator, into: &state.actions)
        }
        drain()
    }

    func topicsChanged(_ image: TopicsImage) {
        let now = now
        state.withLock { $0.machine.topicsChanged(image, now: now, into: &$0.actions) }
        drain()
    }

    func committedOffsets() -> [GroupCoordinatorShard.GroupOffset] {
        state.withLock { $0.machine.committedOffsets }
    }

    func stop() {
        let now = now
        state.withLock { state in
            state.isStopped = true
            state.machine.unload(error: .notCoordinator, now: now, into: &state.actions)
        }
        drain()
    }

    // MARK: Loading

    /// Reads the partition's log. On the control thread, like the changes of topics, so that none is missed between
    /// the image that is taken here and the next.
    func load() {
        var machine = GroupShard.machine(broker)
        do {
            try replayLog(into: &machine)
        } catch {
            broker.logger.error(
                "groups.not-loaded", metadata: ["partition": "\(leader.log.name)", "error": "\(error)"])
            if !leader.log.isClosed { broker.control.schedule(afterMilliseconds: 5000) { [self] in load() } }
            return
        }
        for (version, count) in machine.skippedKeyVersions {
            broker.logger.notice(
                "groups.records-skipped",
                metadata: ["partition": "\(leader.log.name)", "key.version": "\(version)", "count": "\(count)"])
        }
        let image = broker.groups.topicsImage()
        let now = now
        let loaded = machine
        state.withLock { state in
            guard !state.isStopped else { return }
            state.machine = loaded
            // What the machine before wanted to write is not this one's; its replies still go out.
            state.actions.removeAll { action in
                if case .append = action { return true }
                return false
            }
            state.incarnation += 1
            state.hasFailed = false
            state.appends.removeAll()
            state.machine.topicsChanged(image, now: now, into: &state.actions)
            state.machine.finishLoading(now: now, into: &state.actions)
        }
        drain()
    }

    private func replayLog(into machine: inout GroupCoordinatorShard) throws {
        let log = leader.log
        let reader = RecordBatchReader()
        var offset = log.startOffset
        let end = log.endOffset
        var buffer = [UInt8]()
        while offset < end {
            let slice = try log.read(from: offset, maxBytes: 1 << 20, minOneBatch: true, upTo: end)
            guard slice.length > 0 else { return }
            if buffer.count < slice.length { buffer = [UInt8](repeating: 0, count: slice.length) }
            try buffer.withUnsafeMutableBytes { memory in
                let count = try log.copy(slice, into: memory)
                var position = 0
                while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position..<count])),
                    header.totalLength >= RecordBatchHeader.byteCount, header.totalLength <= count - position
                {
                    let batch = UnsafeRawBufferPointer(rebasing: memory[position..<position + header.totalLength])
                    // A transaction's offsets count only once it is committed, which this build cannot tell yet.
                    if !header.isControl && !header.isTransactional {
                        for record in try reader.records(of: batch) {
                            if let key = record.key { try machine.replay(key: key, value: record.value) }
                        }
                    }
                    offset = header.nextOffset
                    position += header.totalLength
                }
            }
        }
    }

    // MARK: Actions

    private func drain() {
        while true {
            let work = state.withLock { state -> (actions: [CoordinatorAction], incarnation: Int32)? in
                if state.isDraining || state.actions.isEmpty { return nil }
                state.isDraining = true
                let actions = state.actions
                state.actions.removeAll(keepingCapacity: true)
                return (actions, state.incarnation)
            }
            guard let work else { break }
            for action in work.actions {
                switch action {
                case .append(let records, let token): append(records, token, work.incarnation)
                case .reply(let token, let response):
                    state.withLock { $0.replies.removeValue(forKey: token) }?(response)
                }
            }
            state.withLock { $0.isDraining = false }
        }
        scheduleWake()
    }

    private func append(_ records: [CoordinatorRecord], _ token: AppendToken, _ incarnation: Int32) {
        // After an append that failed, none of the same machine may reach the log: it would lack what came before.
        guard state.withLock({ $0.incarnation == incarnation && !$0.hasFailed }) else { return }
        let now = now
        var builder = RecordBatchBuilder()
        for record in records { builder.append(key: record.key, value: record.value, timestamp: now) }
        let batch: [UInt8]
        do {
            batch = try builder.build()
        } catch {
            preconditionFailure("an uncompressed batch cannot fail to compress: \(error)")
        }
        let outcome = batch.withUnsafeBytes { bytes -> AppendOutcome in
            var appends = [PendingAppend(header: RecordBatchHeader(bytes)!, bytes: bytes)]
            leader.append(&appends, now: now)
            return appends[0].outcome
        }
        switch outcome {
        case .appended(let baseOffset, _):
            let waiter = PartitionWaiter(
                offset: baseOffset + Int64(records.count), listener: self, connection: token.rawValue,
                slot: UInt64(incarnation), index: 0)
            state.withLock { $0.appends[token.rawValue] = token }
            switch leader.wait(waiter) {
            case .waiting: break
            case .reached: appended(waiter, error: nil)
            case .failed: appended(waiter, error: .kafkaStorageError)
            }
        case .refused(let refusal):
            finish(token, incarnation, error: ErrorCode(refusal))
        case .duplicate, .pending:
            preconditionFailure("a coordinator's batch has no producer")
        }
    }

    private func appended(_ waiter: PartitionWaiter, error: ErrorCode?) {
        // Every machine counts its appends from the beginning: what an earlier one waited for is not this one's.
        let token = state.withLock { state -> AppendToken? in
            guard state.incarnation == Int32(waiter.slot) else { return nil }
            return state.appends.removeValue(forKey: waiter.connection)
        }
        if let token { finish(token, Int32(waiter.slot), error: error) }
    }

    private func finish(_ token: AppendToken, _ incarnation: Int32, error: ErrorCode?) {
        let now = now
        let needsReload = state.withLock { state -> Bool in
            guard state.incarnation == incarnation else { return false }
            if error != nil { state.hasFailed = true }
            state.machine.appended(token, error: error, now: now, into: &state.actions)
            return error != nil && !state.isStopped
        }
        if needsReload {
            broker.logger.error(
                "groups.append-failed",
                metadata: ["partition": "\(leader.log.name)", "error": "\(error!)", "consequence": "reloading"])
            // What the machine believes is not in the log: the log decides.
            broker.control.schedule(afterMilliseconds: 1000) { [self] in load() }
        }
        drain()
    }

    // MARK: Time

    private func scheduleWake() {
        let now = now
        let delay = state.withLock { state -> Int64? in
            guard !state.isStopped, let deadline = state.machine.nextDeadline else { return nil }
            if let wakeAt = state.wakeAt, wakeAt <= deadline { return nil }
            state.wakeAt = deadline
            return deadline - now
        }
        guard let delay else { return }
        broker.groups.timers.schedule(afterMilliseconds: delay) { [self] in wakeUp() }
    }

    private func wakeUp() {
        let now = now
        state.withLock { state in
            // An earlier timer may have been set meanwhile; then this one comes for nothing.
            state.wakeAt = nil
            state.machine.advance(now: now, into: &state.actions)
        }
        drain()
    }
}

extension GroupShard: PartitionListener {
    func wake(_ waiter: PartitionWaiter, failed: Bool) {
        appended(waiter, error: failed ? .kafkaStorageError : nil)
    }
}
