/// Followers' fetches that have records to bring, held back as long as more are being appended, for a moment at most: each
/// then brings several batches instead of one, and costs both nodes a fraction. Only when several writers wait: one that
/// is alone would wait longer and gain nothing.
struct ReplicaGathering {
    /// With fewer requests that wait for followers, none is held back.
    static let leastProduces = 4
    /// When nothing was appended for so long, what there is goes out.
    static let quietNanoseconds: Int64 = 100_000
    /// The longest that a fetch is held back.
    static let mostNanoseconds: Int64 = 500_000

    private var fetches: [(connection: UInt64, slot: UInt64)] = []
    /// When the first of them came.
    private var start: Int64 = 0
    private var hasAppended = false
    private var isDue = false

    /// Returns whether a look (`isOver`) must be scheduled, after `quietNanoseconds`.
    mutating func add(connection: UInt64, slot: UInt64, now: Int64) -> Bool {
        defer { fetches.append((connection, slot)) }
        guard fetches.isEmpty else { return false }
        start = now
        hasAppended = false
        isDue = false
        return true
    }

    /// The loop has something to append in this tick.
    mutating func appended() { hasAppended = true }

    /// Whether the time has come; if not, another look must be scheduled.
    mutating func isOver(now: Int64) -> Bool {
        isDue = !hasAppended || now - start >= Self.mostNanoseconds
        hasAppended = false
        return isDue
    }

    /// Those whose time has come.
    mutating func take() -> [(connection: UInt64, slot: UInt64)] {
        guard isDue else { return [] }
        isDue = false
        defer { fetches.removeAll(keepingCapacity: true) }
        return fetches
    }
}
