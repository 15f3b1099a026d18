import NIOCore
import Synchronization

/// Somebody who waits for memory: until there is some, the time is over or the task is cancelled.
final class MemoryWait: Sendable {
    private struct State {
        var continuation: CheckedContinuation<Void, Never>?
        var isOver = false
        var late: Scheduled<Void>?
    }

    /// Puts a record into its batch; false when there is no room for it. nil for somebody who comes back to do that.
    let append: (@Sendable (inout ProducerCore) -> Bool)?
    private let state = Mutex(State())

    init(append: (@Sendable (inout ProducerCore) -> Bool)? = nil) {
        self.append = append
    }

    func start(_ continuation: CheckedContinuation<Void, Never>) {
        let isOver = state.withLock { state in
            if !state.isOver { state.continuation = continuation }
            return state.isOver
        }
        if isOver { continuation.resume() }
    }

    /// Ends the wait after `delay`.
    func limit(to delay: Duration, on loop: any EventLoop) {
        let late = loop.scheduleTask(in: TimeAmount(delay)) { self.end() }
        let isOver = state.withLock { state in
            state.late = late
            return state.isOver
        }
        if isOver { late.cancel() }
    }

    func end() {
        let (continuation, late) = state.withLock { state in
            state.isOver = true
            defer {
                state.continuation = nil
                state.late = nil
            }
            return (state.continuation, state.late)
        }
        late?.cancel()
        continuation?.resume()
    }
}
