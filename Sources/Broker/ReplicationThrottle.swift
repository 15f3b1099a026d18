import ClusterMetadata
import Configuration
import Synchronization

/// Bounds what reassignments take from clients (KIP-73): bytes a second that this node sends to, or fetches for, replicas
/// that are named as throttled. Counted over a window of some seconds.
final class ReplicationThrottle: Sendable {
    private static let windowMilliseconds: Int64 = 2000

    private struct Window: Sendable {
        var start: Int64 = 0
        var bytes: Int64 = 0
    }

    private let window = Mutex(Window())

    /// How long to wait before more may pass; 0 when it may now. Milliseconds, as `now`.
    func delay(rate: Int64, now: Int64) -> Int64 {
        guard rate < .max else { return 0 }
        return window.withLock { window in
            Self.advance(&window, rate: rate, now: now)
            // What has passed since the window began took so long.
            let due = window.start + window.bytes * 1000 / max(1, rate)
            return max(0, due - now)
        }
    }

    func passed(bytes: Int, rate: Int64, now: Int64) {
        guard rate < .max, bytes > 0 else { return }
        window.withLock { window in
            Self.advance(&window, rate: rate, now: now)
            window.bytes += Int64(bytes)
        }
    }

    /// An old window's rest counts, what it left unused does not.
    private static func advance(_ window: inout Window, rate: Int64, now: Int64) {
        guard now - window.start > windowMilliseconds else { return }
        let used = window.start + window.bytes * 1000 / max(1, rate)
        window = Window(start: now, bytes: max(0, used - now) * rate / 1000)
    }
}

/// Which replicas of a topic a throttle is for: `*`, or `partition:broker` pairs.
package struct ThrottledReplicas: Sendable, Equatable {
    private var isAll = false
    private var replicas: Set<String> = []

    package init(_ values: [String]) {
        isAll = values.contains("*")
        replicas = Set(values)
    }

    package var isEmpty: Bool { !isAll && replicas.isEmpty }

    package func contains(partition: Int32, broker: Int32) -> Bool {
        isAll || (!replicas.isEmpty && replicas.contains("\(partition):\(broker)"))
    }
}
