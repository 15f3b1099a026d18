import ClusterMetadata
import CoordinatorCore
import KafkaProtocol
import Synchronization

/// The shards of one kind of coordinator: one for each partition of its internal topic that this node leads. They come and
/// go with the leadership.
final class CoordinatorTopic<Machine: CoordinatorStateMachine>: Sendable {
    typealias Shard = CoordinatorShard<Machine>

    let name: String
    private unowned let broker: Broker
    private let shards = Mutex<[Int32: Shard]>([:])
    /// Reads logs, which may take long and must not hold up the control thread.
    private let loader: any WorkQueue

    init(_ name: String, broker: Broker) {
        self.name = name
        self.broker = broker
        loader = broker.environment.makeQueue("martlet.loading.\(name)")
    }

    var all: [Shard] { shards.withLock { shards in shards.keys.sorted().map { shards[$0]! } } }

    subscript(partition: Int32) -> Shard? { shards.withLock { $0[partition] } }

    /// Which partition a group or transactional id belongs to; nil while the topic is not there.
    func partition(of key: String) -> Int32? {
        broker.cluster.image.topic(named: name).map { Self.partition(of: key, count: Int32($0.partitions.count)) }
    }

    func shard(of key: String) -> Shard? {
        partition(of: key).flatMap { self[$0] }
    }

    /// The node that has the key; nil while there is none.
    func node(of key: String) -> Int32? {
        guard let topic = broker.cluster.image.topic(named: name) else { return nil }
        let leader = topic.partitions[Int(Self.partition(of: key, count: Int32(topic.partitions.count)))].leader
        return leader >= 0 ? leader : nil
    }

    /// What is told about a partition (nil while the topic is not there) whose shard this node does not have.
    func absence(of partition: Int32?) -> ErrorCode {
        guard let partition, let topic = broker.cluster.image.topic(named: name),
            topic.partitions.indices.contains(Int(partition))
        else { return .coordinatorNotAvailable }
        // Whoever was sent here by the same news that this node is about to follow finds it a moment later.
        let isComing =
            topic.partitions[Int(partition)].leader == broker.cluster.nodeId
            && (!broker.isClustered || broker.membership.isRegistered)
        return isComing ? .coordinatorLoadInProgress : .notCoordinator
    }

    /// As Kafka computes it, with Java's hash of a string.
    static func partition(of key: String, count: Int32) -> Int32 {
        var hash: Int32 = 0
        for unit in key.utf16 { hash = hash &* 31 &+ Int32(unit) }
        return (hash & 0x7FFF_FFFF) % count
    }

    /// Makes the shards of partitions that this node leads now, has them loaded, and ends the others. On the control
    /// thread.
    func rolesChanged(_ role: Shard.Role) {
        let leaders = broker.topics.topic(named: name)?.leaders ?? []
        var ended: [Shard] = []
        let new = shards.withLock { shards -> [Shard] in
            for (partition, shard) in shards where !leaders.contains(where: { $0 === shard.leader }) {
                ended.append(shard)
                shards[partition] = nil
            }
            var new: [Shard] = []
            for case let leader? in leaders where shards[leader.partition] == nil {
                let shard = Shard(leader: leader, broker: broker, role: role, loader: loader)
                shards[leader.partition] = shard
                new.append(shard)
            }
            return new
        }
        for shard in ended { shard.stop() }
        for shard in new { loader.enqueue { shard.load() } }
    }

    /// Behind the loading of what there is.
    func afterLoading(_ work: @escaping @Sendable () -> Void) {
        loader.enqueue(work)
    }

    func stop() {
        for shard in all { shard.stop() }
        loader.stop()
    }
}
