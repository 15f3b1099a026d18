/// Whether etcd answers, judged by the time of its last answer on the watch.
struct WatchHealth {
    /// A stream without an answer for so long is taken for dead, and another member is tried.
    static let streamSilence = Duration.milliseconds(1500)
    /// After so long without any answer the store is unavailable.
    static let silence = Duration.seconds(2)
    /// How often etcd is asked for an answer.
    static let questionInterval = Duration.milliseconds(500)

    private(set) var isUnavailable = false
    private var lastAnswer: ContinuousClock.Instant
    private var streamBegan: ContinuousClock.Instant
    /// While the observer deals with news, nobody reads etcd's answers.
    private var isDelivering = false
    var lastFailure = "etcd does not answer"

    init(at now: ContinuousClock.Instant) {
        lastAnswer = now
        streamBegan = now
    }

    mutating func beginStream(at now: ContinuousClock.Instant) {
        streamBegan = now
    }

    /// True when the store has become available with it.
    mutating func answered(at now: ContinuousClock.Instant) -> Bool {
        lastAnswer = now
        defer { isUnavailable = false }
        return isUnavailable
    }

    mutating func beginDelivery() {
        isDelivering = true
    }

    mutating func endDelivery(at now: ContinuousClock.Instant) {
        isDelivering = false
        lastAnswer = now
    }

    /// True when the store has become unavailable.
    mutating func isNewlySilent(at now: ContinuousClock.Instant) -> Bool {
        guard !isUnavailable, !isDelivering, lastAnswer.duration(to: now) > WatchHealth.silence else { return false }
        isUnavailable = true
        return true
    }

    func isStreamSilent(at now: ContinuousClock.Instant) -> Bool {
        !isDelivering && max(lastAnswer, streamBegan).duration(to: now) > WatchHealth.streamSilence
    }
}
