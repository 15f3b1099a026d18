import Dispatch
import Synchronization

/// Where work runs that may wait: one piece after the other, in order. The simulation's runs on the one thread there is.
package protocol WorkQueue: AnyObject, Sendable {
    /// Whether long work should end early.
    var isStopping: Bool { get }
    func enqueue(_ work: @escaping @Sendable () -> Void)
    func schedule(afterMilliseconds delay: Int64, _ work: @escaping @Sendable () -> Void)
    /// Waits for what runs now; what is still queued is dropped. Not to be called from its own work.
    func stop()
}

/// A queue for work that may wait for the disk: changes of topics and configurations, loading of groups, time-outs of
/// groups. The connections' threads never wait for it.
package final class ControlThread: WorkQueue {
    private let queue: DispatchQueue
    private let isStopped = Atomic<Bool>(false)
    /// Work whose time has not come. Kept here and not by the timers, so that nothing outlives `stop`: a timer may be
    /// minutes away, and its work holds the broker.
    private let scheduled = Mutex(Scheduled())

    private struct Scheduled: Sendable {
        var nextId = 0
        var work: [Int: @Sendable () -> Void] = [:]
    }

    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    package var isStopping: Bool { isStopped.load(ordering: .acquiring) }

    package func enqueue(_ work: @escaping @Sendable () -> Void) {
        queue.async { [self] in
            if !isStopped.load(ordering: .acquiring) { work() }
        }
    }

    package func schedule(afterMilliseconds delay: Int64, _ work: @escaping @Sendable () -> Void) {
        let id = scheduled.withLock { scheduled in
            scheduled.nextId += 1
            scheduled.work[scheduled.nextId] = work
            return scheduled.nextId
        }
        queue.asyncAfter(deadline: .now() + .milliseconds(Int(max(0, delay)))) { [weak self] in
            self?.runScheduled(id)
        }
    }

    private func runScheduled(_ id: Int) {
        let work = scheduled.withLock { $0.work.removeValue(forKey: id) }
        if !isStopped.load(ordering: .acquiring) { work?() }
    }

    package func stop() {
        isStopped.store(true, ordering: .releasing)
        queue.sync {}
        // Released outside the lock: what it holds may end with it.
        let dropped = scheduled.withLock { scheduled in
            defer { scheduled.work.removeAll() }
            return scheduled.work
        }
        withExtendedLifetime(dropped) {}
    }
}
