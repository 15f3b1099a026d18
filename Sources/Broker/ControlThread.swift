import Dispatch
import Synchronization

/// A queue for work that may wait for the disk: changes of topics and configurations, loading of groups, time-outs of
/// groups. The connections' threads never wait for it.
package final class ControlThread: Sendable {
    private let queue: DispatchQueue
    private let isStopped = Atomic<Bool>(false)

    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    /// Whether long work should end early.
    package var isStopping: Bool { isStopped.load(ordering: .acquiring) }

    package func enqueue(_ work: @escaping @Sendable () -> Void) {
        queue.async { [self] in
            if !isStopped.load(ordering: .acquiring) { work() }
        }
    }

    package func schedule(afterMilliseconds delay: Int64, _ work: @escaping @Sendable () -> Void) {
        queue.asyncAfter(deadline: .now() + .milliseconds(Int(max(0, delay)))) { [self] in
            if !isStopped.load(ordering: .acquiring) { work() }
        }
    }

    /// Waits for what runs now; what is still queued is dropped. Not to be called from its own work.
    package func stop() {
        isStopped.store(true, ordering: .releasing)
        queue.sync {}
    }
}
