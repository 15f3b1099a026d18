/// Which request each reply belongs to. A broker answers in the order it was asked, and every reply carries its
/// request's number, so a number out of turn means that the stream of bytes cannot be trusted any more.
struct RequestCorrelator<Waiter> {
    private var waiting: [(correlationId: Int32, waiter: Waiter)] = []
    private var head = 0
    private var nextId: Int32

    init(firstId: Int32 = 0) {
        nextId = firstId
    }

    var count: Int { waiting.count - head }

    /// The number for a request that gets no reply.
    mutating func skip() -> Int32 {
        defer { nextId = nextId == .max ? 0 : nextId + 1 }
        return nextId
    }

    /// The number for a request whose reply `waiter` waits for.
    mutating func register(_ waiter: Waiter) -> Int32 {
        let id = skip()
        waiting.append((id, waiter))
        return id
    }

    /// The waiter of the reply with that number; nil when it is not the oldest.
    mutating func complete(_ correlationId: Int32) -> Waiter? {
        guard head < waiting.count, waiting[head].correlationId == correlationId else { return nil }
        let waiter = waiting[head].waiter
        head += 1
        // Moving the rest now and then keeps each step cheap.
        if head == waiting.count || head > 64 {
            waiting.removeSubrange(..<head)
            head = 0
        }
        return waiter
    }

    /// Those who wait, the oldest first.
    var waiters: [Waiter] { waiting[head...].map(\.waiter) }

    /// All waiters, the oldest first, when the connection ends.
    mutating func removeAll() -> [Waiter] {
        defer {
            waiting.removeAll()
            head = 0
        }
        return waiting[head...].map(\.waiter)
    }
}
