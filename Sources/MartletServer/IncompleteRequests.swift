import Synchronization

/// The memory that requests take which have not come whole, over all connections: what slow senders may hold together.
final class IncompleteRequests: Sendable {
    private let limit: Int
    private let bytes = Atomic<Int>(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// Replaces what a connection held by what it holds now. Returns false, and counts nothing for it, when that is too
    /// much.
    func change(from old: Int, to new: Int) -> Bool {
        let total = bytes.wrappingAdd(new - old, ordering: .relaxed).newValue
        guard new > old, total > limit else { return true }
        bytes.wrappingSubtract(new, ordering: .relaxed)
        return false
    }
}
