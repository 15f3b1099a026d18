import Synchronization

/// Collects what several others answer, and goes on when all of them have.
final class Gathering<Answer: Sendable>: Sendable {
    private let answers: Mutex<[Answer?]>
    private let done: @Sendable ([Answer]) -> Void

    /// `count` must not be 0: nobody would come to say that all is there.
    init(count: Int, _ done: @escaping @Sendable ([Answer]) -> Void) {
        precondition(count > 0)
        answers = Mutex(Array(repeating: nil, count: count))
        self.done = done
    }

    func add(_ answer: Answer, at index: Int) {
        let complete = answers.withLock { answers -> [Answer]? in
            answers[index] = answer
            return answers.contains { $0 == nil } ? nil : answers.compactMap(\.self)
        }
        if let complete { done(complete) }
    }
}
