import CommitLog
import CoordinatorCore
import KafkaProtocol
import Logging
import Replication
import Synchronization

/// Drives one coordinator's state machine: carries its batches to the partition's log, tells it when they are there,
/// wakes it when its timers are due and hands its replies to whoever asked.
///
/// The state machine runs under the lock; its actions are carried out outside it, by one thread at a time and in order,
/// because appending may complete other waits, which may come back here.
final class CoordinatorShard<Machine: CoordinatorStateMachine>: Sendable {
    typealias Reply = @Sendable (Machine.Response) -> Void

    /// What makes a group's shard differ from a transaction's.
    struct Role: Sendable {
        /// Makes a machine for the partition; its log is replayed into it.
        var makeMachine: @Sendable (PartitionLeader) -> Machine
        /// Tells a replayed machine what it must know of the world before it serves.
        var prepare: @Sendable (inout Machine, _ now: Int64, _ actions: inout [Machine.Action]) -> Void
        /// Carries out an effect, on whichever thread comes by. What it leads to is reported with `update`.
        var perform: @Sendable (Machine.Effect, MachineReference) -> Void
        /// Timers have a thread of their own, so that changes of topics do not make sessions expire late.
        var timers: any WorkQueue
    }

    /// One of the machines that this shard has had: what belongs to one that failed must not reach the next.
    struct MachineReference: Sendable {
        let shard: CoordinatorShard
        fileprivate let incarnation: Int32

        /// Gives the machine an event, if it is still there.
        func update(_ body: (inout Machine, _ now: Int64, _ actions: inout [Machine.Action]) -> Void) {
            shard.update(ifCurrent: incarnation, body)
        }

        /// Has an effect carried out again, if the machine is still there.
        func perform(again effect: Machine.Effect) {
            shard.update(ifCurrent: incarnation) { $2.append(.perform(effect)) }
        }
    }

    let leader: PartitionLeader
    private unowned let broker: Broker
    private let role: Role
    private let loader: any WorkQueue
    private let state: Mutex<State>

    private struct State: Sendable {
        var machine: Machine
        var actions: [Machine.Action] = []
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

    init(leader: PartitionLeader, broker: Broker, role: Role, loader: any WorkQueue) {
        self.leader = leader
        self.broker = broker
        self.role = role
        self.loader = loader
        state = Mutex(State(machine: role.makeMachine(leader)))
    }

    private var now: Int64 { broker.clock.wallMilliseconds }

    // MARK: Requests

    func handle(_ request: Machine.Request, _ context: CoordinatorRequestContext, reply: @escaping Reply) {
        let now = now
        state.withLock { state in
            let token = RequestToken(rawValue: state.nextToken)
            state.nextToken += 1
            state.replies[token] = reply
            var generator = broker.environment.generator
            state.machine.handle(
                request, token: token, context: context, now: now, using: &generator, into: &state.actions)
        }
        drain()
    }

    /// Gives the machine an event.
    func update(_ body: (inout Machine, _ now: Int64, _ actions: inout [Machine.Action]) -> Void) {
        update(ifCurrent: nil, body)
    }

    private func update(
        ifCurrent incarnation: Int32?, _ body: (inout Machine, _ now: Int64, _ actions: inout [Machine.Action]) -> Void
    ) {
        let now = now
        state.withLock { state in
            guard incarnation == nil || incarnation == state.incarnation else { return }
            body(&state.machine, now, &state.actions)
        }
        drain()
    }

    func read<Result>(_ body: (Machine) -> Result) -> Result {
        state.withLock { body($0.machine) }
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

    private var isOver: Bool { leader.log.isClosed || state.withLock { $0.isStopped } }

    /// Reads the partition's log, on the loading thread.
    func load() {
        guard !isOver else { return }
        guard leader.inSyncCount >= leader.minimumInSyncReplicas else {
            // It could write nothing down, and would fail with the first request.
            loader.schedule(afterMilliseconds: 200) { [self] in load() }
            return
        }
        let end = leader.log.endOffset
        guard leader.highWatermark >= end else {
            // What is not durable yet must not be carried out as if it were.
            if !isOver { loader.schedule(afterMilliseconds: 50) { [self] in load() } }
            return
        }
        var machine = role.makeMachine(leader)
        do {
            try CoordinatorLog(leader.log).replay(into: &machine)
        } catch {
            broker.logger.error(
                "coordinator.not-loaded", metadata: ["partition": "\(leader.log.name)", "error": "\(error)"])
            if !isOver { loader.schedule(afterMilliseconds: 5000) { [self] in load() } }
            return
        }
        for (version, count) in machine.skippedKeyVersions {
            broker.logger.notice(
                "coordinator.records-skipped",
                metadata: ["partition": "\(leader.log.name)", "key.version": "\(version)", "count": "\(count)"])
        }
        install(machine, asOf: end)
    }

    private enum Installation {
        case done
        /// A thread still carries out what the machine before wanted; that must have happened before this one begins.
        case busy
        /// The log went on meanwhile.
        case outdated
    }

    /// Puts a machine that was loaded up to `end` to work.
    private func install(_ loaded: Machine, asOf end: Int64) {
        let now = now
        let outcome = state.withLock { state -> Installation in
            guard !state.isStopped else { return .done }
            guard !state.isDraining else { return .busy }
            guard leader.log.endOffset == end else { return .outdated }
            state.machine = loaded
            // What the machine before wanted of the world is not this one's; its replies still go out.
            state.actions.removeAll { action in
                if case .reply = action { return false }
                return true
            }
            state.incarnation += 1
            state.hasFailed = false
            state.appends.removeAll()
            role.prepare(&state.machine, now, &state.actions)
            state.machine.finishLoading(now: now, into: &state.actions)
            return .done
        }
        switch outcome {
        case .done: drain()
        case .busy: loader.schedule(afterMilliseconds: 1) { [self] in install(loaded, asOf: end) }
        case .outdated: load()
        }
    }

    // MARK: Actions

    private func drain() {
        while true {
            let work = state.withLock { state -> (actions: [Machine.Action], incarnation: Int32)? in
                if state.isDraining || state.actions.isEmpty { return nil }
                state.isDraining = true
                let actions = state.actions
                state.actions.removeAll(keepingCapacity: true)
                return (actions, state.incarnation)
            }
            guard let work else { break }
            for action in work.actions {
                switch action {
                case .append(let batch, let token): append(batch, token, work.incarnation)
                case .reply(let token, let response):
                    state.withLock { $0.replies.removeValue(forKey: token) }?(response)
                case .perform(let effect):
                    role.perform(effect, MachineReference(shard: self, incarnation: work.incarnation))
                }
            }
            state.withLock { $0.isDraining = false }
        }
        scheduleWake()
    }

    private func append(_ batch: CoordinatorBatch, _ token: AppendToken, _ incarnation: Int32) {
        // After an append that failed, none of the same machine may reach the log: it would lack what came before.
        guard state.withLock({ $0.incarnation == incarnation && !$0.hasFailed }) else { return }
        guard leader.inSyncCount >= leader.minimumInSyncReplicas else {
            finish(token, incarnation, error: .coordinatorNotAvailable)
            return
        }
        switch leader.append(batch, now: now) {
        case .appended(let baseOffset, _):
            let waiter = PartitionWaiter(
                offset: baseOffset + Int64(batch.recordCount), listener: self, connection: token.rawValue,
                slot: UInt64(incarnation), index: 0)
            state.withLock { $0.appends[token.rawValue] = token }
            switch leader.wait(waiter) {
            case .waiting: break
            case .over(let result): appended(waiter, result)
            }
        case .refused(let refusal):
            finish(token, incarnation, error: refusal == .notInThisRole ? .notCoordinator : ErrorCode(refusal))
        case .duplicate, .pending:
            preconditionFailure("a coordinator's batch has no sequence number")
        }
    }

    private func appended(_ waiter: PartitionWaiter, _ result: WaitResult) {
        let error: ErrorCode? =
            switch result {
            // It is committed, and stays.
            case .reached, .reachedWithTooFewReplicas: nil
            case .notLeader: .notCoordinator
            case .failed: .kafkaStorageError
            }
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
            // Another node leads the partition now, or too few replicas are in sync: that happens.
            broker.logger.log(
                level: error == .notCoordinator || error == .coordinatorNotAvailable ? .info : .error,
                "coordinator.append-failed",
                metadata: ["partition": "\(leader.log.name)", "error": "\(error!)", "consequence": "reloading"])
            // What the machine believes is not in the log: the log decides.
            loader.schedule(afterMilliseconds: 1000) { [self] in load() }
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
        role.timers.schedule(afterMilliseconds: delay) { [self] in wakeUp() }
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

extension CoordinatorShard: PartitionListener {
    func wake(_ waiter: PartitionWaiter, _ result: WaitResult) {
        appended(waiter, result)
    }
}
