import NIOConcurrencyHelpers
import NIOCore

/// The one reply to a request. The connection's end and a failed write may both report; the first counts.
final class ReplyPromise: Sendable {
    private struct State {
        var continuation: CheckedContinuation<Result<ByteBuffer, ClientError>, Never>?
        var onCompletion: (@Sendable () -> Void)?
    }

    private let state: NIOLockedValueBox<State>

    init(_ continuation: CheckedContinuation<Result<ByteBuffer, ClientError>, Never>) {
        state = NIOLockedValueBox(State(continuation: continuation))
    }

    func onCompletion(_ body: @escaping @Sendable () -> Void) {
        let isDone = state.withLockedValue { state in
            if state.continuation != nil { state.onCompletion = body }
            return state.continuation == nil
        }
        if isDone { body() }
    }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        let taken = state.withLockedValue { state in
            defer { state = State() }
            return state
        }
        taken.onCompletion?()
        taken.continuation?.resume(returning: result)
    }
}
