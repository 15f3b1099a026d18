import NIOConcurrencyHelpers
import NIOCore

/// Who is told of the reply to a request, or why there is none. Called on the connection's event loop, once at least; the
/// first call counts.
protocol ReplyReceiver: AnyObject, Sendable {
    func complete(_ result: Result<ByteBuffer, ClientError>)
    /// `body` is to be called when the request is over, for whatever reason.
    func onCompletion(_ body: @escaping @Sendable () -> Void)
}

/// The one reply to a request. The reply, the connection's end, a failed write and the task's cancellation may all
/// report; the first counts.
final class ReplyPromise: ReplyReceiver {
    private struct State {
        var continuation: CheckedContinuation<Result<ByteBuffer, ClientError>, Never>?
        var onCompletion: (@Sendable () -> Void)?
        /// What came before anybody waited.
        var early: Result<ByteBuffer, ClientError>?
        var isComplete = false
    }

    private let state = NIOLockedValueBox(State())

    /// The reply, or `cancelled` when the task is. Call it once.
    func wait(_ start: () -> Void) async -> Result<ByteBuffer, ClientError> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early = state.withLockedValue { state in
                    if state.early == nil { state.continuation = continuation }
                    return state.early
                }
                if let early { return continuation.resume(returning: early) }
                start()
            }
        } onCancel: {
            complete(.failure(ClientError(.cancelled, "cancelled")))
        }
    }

    func onCompletion(_ body: @escaping @Sendable () -> Void) {
        let isDone = state.withLockedValue { state in
            if !state.isComplete { state.onCompletion = body }
            return state.isComplete
        }
        if isDone { body() }
    }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        let taken = state.withLockedValue { state in
            if state.isComplete { return State() }
            defer {
                state.isComplete = true
                if state.continuation == nil { state.early = result }
                state.continuation = nil
                state.onCompletion = nil
            }
            return state
        }
        taken.onCompletion?()
        taken.continuation?.resume(returning: result)
    }
}
