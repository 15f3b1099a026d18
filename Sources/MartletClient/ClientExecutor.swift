import NIOCore
import NIOPosix

/// A thread that carries the bytes of producers and consumers, as an executor for the tasks that use them.
///
/// By itself each client has one of the process's event loops, and what it resumes runs in the concurrent pool: two
/// changes of threads for each record that is waited for. A task that runs where its clients do needs none of them, which
/// takes about a tenth off the time until a record that is waited for alone is acknowledged or consumed.
///
///     let executor = ClientExecutor()
///     configuration.executor = executor  // of the producer, the consumer or both
///     try await withTaskExecutorPreference(executor) {
///         for try await record in consumer.records { … }
///     }
///
/// - Important: while such a task computes, its clients wait: heartbeats too. Nothing that blocks or takes longer than
///   some milliseconds belongs there.
public final class ClientExecutor: TaskExecutor {
    let loop: any EventLoop

    /// Takes the next of the process's event loops.
    public init() {
        loop = MultiThreadedEventLoopGroup.singleton.next()
    }

    /// Runs a part of a task on the event loop. For the runtime.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
