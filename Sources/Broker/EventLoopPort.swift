/// What the broker needs of the thread that serves a set of connections. The server gives one made of its network
/// library's event loop, the tests one that runs by hand.
package protocol EventLoopPort: AnyObject, Sendable {
    /// Whether the caller runs on this loop.
    var isCurrent: Bool { get }

    /// Runs the task on the loop, after the events that it is handling now.
    func execute(_ task: @escaping @Sendable () -> Void)

    /// Runs the task on the loop after the delay.
    func schedule(afterNanoseconds delay: Int64, _ task: @escaping @Sendable () -> Void)
}

/// Time as the broker sees it; the simulated one stands still until it is moved.
package protocol BrokerClock: Sendable {
    /// Milliseconds since 1970, what records are stamped with.
    var wallMilliseconds: Int64 { get }
    /// Nanoseconds that never go back, for waiting and measuring.
    var monotonicNanoseconds: Int64 { get }
}
