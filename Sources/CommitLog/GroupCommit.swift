import Glibc

/// Makes logs durable when asked, on threads of its own or, in a simulation, on the one there is.
package protocol LogSynchronizer: AnyObject, Sendable {
    /// Asks for `log` to be durable up to `offset`; whoever made the synchronizer is told when it is.
    func request(_ log: Log, upTo offset: Int64)
    /// Finishes what was requested.
    func stop()
}

/// Synchronizes logs on threads of its own: one synchronization serves everyone who waits for a log, and one that
/// comes while it runs waits for the next. Lives until `stop`.
package final class GroupCommit: LogSynchronizer, @unchecked Sendable {
    // Sendable: mutable fields are touched only under the mutex.

    /// Called on a synchronizing thread with the end offset that is now durable. Must not block.
    package typealias Completion = @Sendable (Log, Result<Int64, LogError>) -> Void

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting: [Log] = []
    private var head = 0
    private var states: [ObjectIdentifier: Progress] = [:]
    private var isStopping = false
    private var threads: [Thread] = []
    private let completion: Completion
    private let clock: @Sendable () -> Int64

    private struct Progress {
        var isRunning = false
        /// Someone asked since the running synchronization began.
        var isWanted = false
    }

    /// `clock` tells milliseconds since the epoch.
    package init(
        threads count: Int = 1, clock: @escaping @Sendable () -> Int64 = { 0 }, completion: @escaping Completion
    ) {
        precondition(count > 0)
        self.completion = completion
        self.clock = clock
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
        threads = (0..<count).map { _ in Thread { [self] in run() } }
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Asks for `log` to be durable up to `offset`. The completion is called once for all requests that one
    /// synchronization serves, also when nothing was left to do.
    package func request(_ log: Log, upTo offset: Int64) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard !isStopping else { return }
        var progress = states[ObjectIdentifier(log)] ?? Progress()
        guard !progress.isWanted else { return }
        progress.isWanted = true
        states[ObjectIdentifier(log)] = progress
        if !progress.isRunning {
            waiting.append(log)
            pthread_cond_signal(condition)
        }
    }

    /// Finishes what was requested and ends the threads. Not to be called from the completion.
    package func stop() {
        pthread_mutex_lock(mutex)
        isStopping = true
        pthread_cond_broadcast(condition)
        let running = threads
        threads = []
        pthread_mutex_unlock(mutex)
        for thread in running { thread.join() }
    }

    private func run() {
        pthread_mutex_lock(mutex)
        while true {
            while head == waiting.count {
                if isStopping {
                    pthread_mutex_unlock(mutex)
                    return
                }
                pthread_cond_wait(condition, mutex)
            }
            let log = waiting[head]
            head += 1
            if head == waiting.count || head > 1024 {
                waiting.removeFirst(head)
                head = 0
            }
            states[ObjectIdentifier(log)] = Progress(isRunning: true, isWanted: false)
            pthread_mutex_unlock(mutex)

            let result = Result { () throws(LogError) in try log.sync(now: clock()) }
            completion(log, result)

            pthread_mutex_lock(mutex)
            if states[ObjectIdentifier(log)]?.isWanted == true {
                states[ObjectIdentifier(log)] = Progress(isRunning: false, isWanted: true)
                waiting.append(log)
                pthread_cond_signal(condition)
            } else {
                states[ObjectIdentifier(log)] = nil
            }
        }
    }
}
