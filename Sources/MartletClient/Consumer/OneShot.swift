import Synchronization

/// A value that comes once, and whoever waits for it.
final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var isOver = false
        var continuation: CheckedContinuation<Value?, Never>?
    }

    private let state = Mutex(State())

    /// The first value counts.
    func complete(_ value: Value?) {
        let continuation = state.withLock { state in
            guard !state.isOver else { return nil as CheckedContinuation<Value?, Never>? }
            state.isOver = true
            state.value = value
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(returning: value)
    }

    /// The value; nil when the task is cancelled before, if that is to count. Call it once.
    nonisolated(nonsending) func wait(isCancellable: Bool = true) async -> Value? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (isOver, value) = state.withLock { state in
                    if !state.isOver { state.continuation = continuation }
                    return (state.isOver, state.value)
                }
                if isOver { continuation.resume(returning: value) }
            }
        } onCancel: {
            if isCancellable { complete(nil) }
        }
    }
}
