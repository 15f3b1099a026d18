import Foundation

/// Slows background work down to a number of bytes a second, by waiting. For one thread.
final class IOThrottle {
    private let bytesPerSecond: Double
    private var start = ContinuousClock.now
    private var bytes = 0.0
    /// Shorter waits are saved up: a sleep costs more than they are worth.
    private static let shortestWait = 0.005

    init(bytesPerSecond: Double) {
        self.bytesPerSecond = bytesPerSecond
    }

    func wait(_ count: Int) {
        bytes += Double(count)
        let elapsed = (ContinuousClock.now - start) / .seconds(1)
        let delay = bytes / bytesPerSecond - elapsed
        if delay > IOThrottle.shortestWait { Thread.sleep(forTimeInterval: min(delay, 1)) }
        if elapsed > 10 {
            // A quiet time earns no credit for a later rush.
            start = .now
            bytes = 0
        }
    }
}
