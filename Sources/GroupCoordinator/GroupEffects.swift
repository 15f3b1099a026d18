import KafkaProtocol

/// What handling one event leads to, collected while the state changes: records in the order in which they must be
/// replayed, replies, and the timers. `ReplyQueue` decides when the replies may leave.
struct GroupEffects: Sendable {
    var now: Int64 = 0
    var records: [GroupRecord] = []
    /// Whether a crash between two of the records does no harm, so that they may be several batches. Deletions can be
    /// many.
    var isDivisible = false
    var replies: [PendingReply] = []
    var deadlines = DeadlineQueue()

    mutating func reply(_ token: RequestToken, _ response: CoordinatorResponse) {
        replies.append(PendingReply(token: token, response: response))
    }

    mutating func schedule(_ timer: GroupTimer, after milliseconds: Int64) {
        deadlines.schedule(timer, at: now + max(0, milliseconds))
    }

    mutating func cancel(_ timer: GroupTimer) {
        deadlines.cancel(timer)
    }
}

struct PendingReply: Sendable, Equatable {
    let token: RequestToken
    let response: CoordinatorResponse
}
