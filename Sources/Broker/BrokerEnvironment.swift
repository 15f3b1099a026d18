import CommitLog

/// What a broker does to the world, and the world to it, but for its connections and files: time, threads, chance and the
/// other nodes. The server gives the real ones, a simulation its own, so that one seed decides all that happens.
package struct BrokerEnvironment: Sendable {
    package var clock: any BrokerClock
    package var peers: any PeerNetwork
    /// The next number of a generator.
    package var random: @Sendable () -> UInt64 = {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
    /// A thread for work that may wait, named by the label.
    package var makeQueue: @Sendable (_ label: String) -> any WorkQueue = { ControlThread(label: $0) }
    package var makeSynchronizer: @Sendable (_ completion: @escaping GroupCommit.Completion) -> any LogSynchronizer

    /// Real threads.
    package init(clock: any BrokerClock, peers: any PeerNetwork) {
        self.clock = clock
        self.peers = peers
        makeSynchronizer = { completion in
            GroupCommit(threads: 1, clock: { clock.wallMilliseconds }, completion: completion)
        }
    }

    var generator: EnvironmentGenerator { EnvironmentGenerator(random) }
}

/// Chance, as the standard library asks for it.
struct EnvironmentGenerator: RandomNumberGenerator {
    private let draw: @Sendable () -> UInt64

    fileprivate init(_ draw: @escaping @Sendable () -> UInt64) {
        self.draw = draw
    }

    mutating func next() -> UInt64 { draw() }
}

extension BrokerClock {
    var monotonicMilliseconds: Int64 { monotonicNanoseconds / 1_000_000 }
}
