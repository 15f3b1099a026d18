/// How long to wait before the next attempt: doubling, with a random part so that clients do not come back together.
package struct Backoff: Sendable {
    package var initial: Duration = .milliseconds(50)
    package var maximum: Duration = .seconds(1)
    /// The random part, up or down, as a share of the whole.
    package var jitter = 0.2

    package init() {}

    init(initial: Duration, maximum: Duration) {
        self.initial = initial
        self.maximum = maximum
    }

    /// The pause before attempt `attempt + 1`; `attempt` counts from 1.
    package func delay(after attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        precondition(attempt >= 1)
        // 2^20 times any initial pause is beyond any maximum.
        let whole = min(initial * (1 << min(attempt - 1, 20)), maximum)
        return whole * Double.random(in: (1 - jitter)...(1 + jitter), using: &generator)
    }

    package func delay(after attempt: Int) -> Duration {
        var generator = SystemRandomNumberGenerator()
        return delay(after: attempt, using: &generator)
    }
}
