import NIOConcurrencyHelpers
import NIOCore

/// Who is told of the reply to a request, or why there is none. Called on the connection's event loop, once at least; the
/// first call counts.
protocol ReplyReceiver: AnyObject, Sendable {
    func complete(_ result: Result<ByteBuffer, ClientError>)
    /// Whether it has been told, or does not want to know any more.
    var isOver: Bool { get }
}

/// The one reply to a request. The reply, the connection's end, a failed write and the task's cancellation may all
/// report; the first counts.
final class ReplyPromise: ReplyReceiver {
    private struct State {
        var continuation: CheckedContinuation<Result<ByteBuffer, ClientError>, Never>?
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

    var isOver: Bool { state.withLockedValue { $0.isComplete } }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        let taken = state.withLockedValue { state in
            if state.isComplete { return State() }
            defer {
                state.isComplete = true
                if state.continuation == nil { state.early = result }
                state.continuation = nil
            }
            return state
        }
        taken.continuation?.resume(returning: result)
    }
}
