import Broker
import CommitLog

/// A thread for work that may wait, in virtual time: one piece after the other, each a little later.
final class SimulatedQueue: WorkQueue, @unchecked Sendable {
    private let life: Life
    private var ready: [@Sendable () -> Void] = []
    private var isPumping = false
    private var isStopped = false

    init(_ life: Life) {
        self.life = life
    }

    private var timeline: Timeline { life.world.timeline }

    var isStopping: Bool { isStopped || !life.isAlive }

    func enqueue(_ work: @escaping @Sendable () -> Void) {
        guard !isStopping else { return }
        ready.append(work)
        pump()
    }

    func schedule(afterMilliseconds delay: Int64, _ work: @escaping @Sendable () -> Void) {
        timeline.after(.milliseconds(Double(max(0, delay))), "timer", life: life) { [self] in enqueue(work) }
    }

    private func pump() {
        guard !isPumping, !ready.isEmpty else { return }
        isPumping = true
        timeline.after(life.world.habits.taskDelay(), "work", life: life) { [self] in
            if isStopped { return }
            // While it waits for the metadata store, what comes after it waits too.
            ready.removeFirst()()
            isPumping = false
            pump()
        }
    }

    func stop() {
        isStopped = true
        ready.removeAll()
    }
}

/// The event loop of a node's connections.
final class SimulatedPort: EventLoopPort, @unchecked Sendable {
    private let life: Life

    init(_ life: Life) {
        self.life = life
    }

    private var timeline: Timeline { life.world.timeline }

    var isCurrent: Bool { timeline.currentPort === self }

    func execute(_ task: @escaping @Sendable () -> Void) {
        timeline.after(life.world.habits.taskDelay(), "loop", life: life, port: self, task)
    }

    func schedule(afterNanoseconds delay: Int64, _ task: @escaping @Sendable () -> Void) {
        timeline.after(max(0, delay), "loop-timer", life: life, port: self, task)
    }

    /// Runs what the network brings, on the loop.
    func deliver(after delay: Int64, _ body: @escaping () -> Void) {
        timeline.after(delay, "loop-network", life: life, port: self, body)
    }
}

/// Synchronizes one log after the other, each sync for all that asked for it before it began.
final class SimulatedSynchronizer: LogSynchronizer, @unchecked Sendable {

    private let life: Life
    private let completion: GroupCommit.Completion
    private var waiting: [Log] = []
    private var running: Log?
    /// A planted bug: nothing is synced, and nobody is told.
    var isLying = false
    private var isStopped = false

    init(_ life: Life, _ completion: @escaping GroupCommit.Completion) {
        self.life = life
        self.completion = completion
    }

    private var timeline: Timeline { life.world.timeline }

    func request(_ log: Log, upTo offset: Int64) {
        guard !isStopped, life.isAlive, !waiting.contains(where: { $0 === log }) else { return }
        waiting.append(log)
        pump()
    }

    private func pump() {
        guard running == nil, !waiting.isEmpty else { return }
        let log = waiting.removeFirst()
        running = log
        timeline.after(life.world.habits.syncDelay(), "sync", life: life) { [self] in
            synchronize(log)
            running = nil
            pump()
        }
    }

    /// A node that is stopped in order has its syncs finished.
    func stop() {
        isStopped = true
        for log in [running].compactMap(\.self) + waiting where life.isAlive { synchronize(log) }
        waiting.removeAll()
    }

    private func synchronize(_ log: Log) {
        if isLying {
            completion(log, .success(log.endOffset))
        } else {
            completion(log, Result { () throws(LogError) in try log.sync(now: life.clock.wallMilliseconds) })
        }
    }
}

/// A node's clocks: the wall's goes wrong, the monotonic one does not.
final class SimulatedClock: BrokerClock, @unchecked Sendable {
    /// November 2023.
    private static let epoch: Int64 = 1_700_000_000_000

    private let timeline: Timeline
    private let start: Int64
    /// Milliseconds by which the wall clock is wrong.
    var error: Int64 {
        didSet { greatestError = max(greatestError, error) }
    }
    private var greatestError: Int64

    init(_ timeline: Timeline) {
        self.timeline = timeline
        start = Int64.random(in: 1...1_000_000, using: &timeline.random) * 1_000_000
        error = Int64.random(in: -50...50, using: &timeline.random)
        greatestError = error
    }

    /// Goes as far ahead as it ever was, so that no time-out waits for a time that is long to come.
    func settle() { error = greatestError }

    var wallMilliseconds: Int64 { Self.epoch + timeline.now / 1_000_000 + error }
    var monotonicNanoseconds: Int64 { start + timeline.now }
}
