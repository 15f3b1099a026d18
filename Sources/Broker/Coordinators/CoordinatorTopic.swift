import CoordinatorCore
import Synchronization

/// The shards of one kind of coordinator: one for each partition of its internal topic.
final class CoordinatorTopic<Machine: CoordinatorStateMachine>: Sendable {
    typealias Shard = CoordinatorShard<Machine>

    private let name: String
    private unowned let broker: Broker
    /// By partition; empty until the topic is there.
    private let shards = Mutex<[Shard]>([])

    init(_ name: String, broker: Broker) {
        self.name = name
        self.broker = broker
    }

    var all: [Shard] { shards.withLock { $0 } }

    /// Whether the topic is there.
    var isReady: Bool { shards.withLock { !$0.isEmpty } }

    subscript(partition: Int32) -> Shard? {
        shards.withLock { $0.indices.contains(Int(partition)) ? $0[Int(partition)] : nil }
    }

    /// Which partition a group or transactional id belongs to; nil while the topic is not there.
    func partition(of key: String) -> Int32? {
        shards.withLock { $0.isEmpty ? nil : Self.partition(of: key, count: Int32($0.count)) }
    }

    func shard(of key: String) -> Shard? {
        partition(of: key).flatMap { self[$0] }
    }

    /// As Kafka computes it, with Java's hash of a string.
    static func partition(of key: String, count: Int32) -> Int32 {
        var hash: Int32 = 0
        for unit in key.utf16 { hash = hash &* 31 &+ Int32(unit) }
        return (hash & 0x7FFF_FFFF) % count
    }

    /// Makes the shards, once, and has them loaded on the control thread.
    func loadAll(_ role: Shard.Role) {
        guard let topic = broker.topics.topic(named: name) else { return }
        let new = shards.withLock { shards -> [Shard] in
            // The number of partitions decides where a key is, so it never changes once keys are served.
            guard shards.isEmpty else { return [] }
            shards = topic.leaders.map { Shard(leader: $0, broker: broker, role: role) }
            return shards
        }
        for shard in new {
            broker.control.enqueue { shard.load() }
        }
    }

    func stop() {
        for shard in all { shard.stop() }
    }
}
