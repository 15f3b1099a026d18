import Synchronization

/// The counts of all loops.
package final class BrokerMetrics: Sendable {
    private let all = Mutex<[LoopMetrics]>([])

    func add(_ loop: LoopMetrics) {
        all.withLock { $0.append(loop) }
    }

    package var loops: [LoopMetrics] { all.withLock { $0 } }
}
