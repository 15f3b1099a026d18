import ClusterMetadata
import Dispatch
import Synchronization

/// Tells the observer, one thing after the other on one queue.
final class EtcdNews: Sendable {
    typealias Observer = @Sendable (MetadataNews) -> Void

    private struct State {
        /// Counts the observers, so that what was meant for one is not told to the next.
        var generation = 0
        var observer: Observer?
        /// The session ended while nobody observed.
        var owesSessionEnd = false
    }

    private let queue = DispatchQueue(label: "martlet.etcd.news")
    private let state = Mutex(State())

    /// Makes it the one that is told, and returns its number.
    func replaceObserver(_ observer: Observer?) -> Int {
        state.withLock { state in
            state.generation += 1
            state.observer = observer
            if observer != nil, state.owesSessionEnd {
                state.owesSessionEnd = false
                enqueue(.sessionEnded, for: state.generation)
            }
            return state.generation
        }
    }

    func sessionBegan() {
        state.withLock { $0.owesSessionEnd = false }
    }

    func sessionEnded() {
        state.withLock { state in
            guard state.observer != nil else {
                state.owesSessionEnd = true
                return
            }
            enqueue(.sessionEnded, for: state.generation)
        }
    }

    func tell(_ news: MetadataNews, to generation: Int) {
        enqueue(news, for: generation)
    }

    /// Returns when the observer has dealt with it, so that a slow one slows the watch instead of filling the memory.
    func tellAndWait(_ news: [MetadataNews], to generation: Int) async {
        await withCheckedContinuation { continuation in
            queue.async {
                for one in news { self.observer(generation)?(one) }
                continuation.resume()
            }
        }
    }

    private func enqueue(_ news: MetadataNews, for generation: Int) {
        queue.async { self.observer(generation)?(news) }
    }

    private func observer(_ generation: Int) -> Observer? {
        state.withLock { $0.generation == generation ? $0.observer : nil }
    }
}
