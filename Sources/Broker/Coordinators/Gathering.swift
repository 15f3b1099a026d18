import Synchronization

/// Collects what several others answer, and goes on when all of them have.
final class Gathering<Answer: Sendable>: Sendable {
    private struct State: Sendable {
        var answers: [Answer?]
        var missing: Int
    }

    private let state: Mutex<State>
    private let done: @Sendable ([Answer]) -> Void

    /// `count` must not be 0: nobody would come to say that all is there.
    init(count: Int, _ done: @escaping @Sendable ([Answer]) -> Void) {
        precondition(count > 0)
        state = Mutex(State(answers: Array(repeating: nil, count: count), missing: count))
        self.done = done
    }

    /// Each index once.
    func add(_ answer: Answer, at index: Int) {
        let complete = state.withLock { state -> [Answer]? in
            precondition(state.answers[index] == nil, "answered twice")
            state.answers[index] = answer
            state.missing -= 1
            return state.missing == 0 ? state.answers.compactMap(\.self) : nil
        }
        if let complete { done(complete) }
    }
}
