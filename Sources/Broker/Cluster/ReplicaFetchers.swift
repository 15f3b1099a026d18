import ClusterMetadata
import KafkaProtocol
import Synchronization

/// The fetchers of the partitions that this node follows: `num.replica.fetchers` for each node that leads some.
final class ReplicaFetchers: Sendable {
    private struct Place: Hashable, Sendable {
        var leader: Int32
        var index: Int
    }

    private unowned let broker: Broker
    private let queue: any WorkQueue
    private let fetchers = Mutex<[Place: ReplicaFetcher]>([:])

    init(broker: Broker) {
        self.broker = broker
        queue = broker.environment.makeQueue("martlet.replica-fetchers")
    }

    /// Gives each fetcher what it has to fetch now. On the control thread.
    func rolesChanged() {
        guard broker.isClustered else { return }
        let count = broker.configuration.int("num.replica.fetchers")
        var wanted: [Place: [ReplicaFetcher.Key: ReplicaFetcher.Assignment]] = [:]
        let present = broker.cluster.image.brokers
        for topic in broker.topics.topics.values {
            for case let follower? in topic.followers where follower.leader >= 0 && present[follower.leader] != nil {
                let place = Place(
                    leader: follower.leader,
                    index: Int(TopicSpread.hash(topic.name, follower.partition) % UInt32(count)))
                let key = ReplicaFetcher.Key(topicId: topic.id, partition: follower.partition)
                wanted[place, default: [:]][key] = ReplicaFetcher.Assignment(follower: follower, topicId: topic.id)
            }
        }
        var ended: [ReplicaFetcher] = []
        var assigned: [(ReplicaFetcher, [ReplicaFetcher.Key: ReplicaFetcher.Assignment])] = []
        fetchers.withLock { fetchers in
            for (place, fetcher) in fetchers where wanted[place] == nil {
                ended.append(fetcher)
                fetchers[place] = nil
            }
            for (place, assignments) in wanted {
                let fetcher =
                    fetchers[place] ?? ReplicaFetcher(leader: place.leader, broker: broker, queue: queue)
                fetchers[place] = fetcher
                assigned.append((fetcher, assignments))
            }
        }
        for fetcher in ended { fetcher.stop() }
        for (fetcher, assignments) in assigned { fetcher.assign(assignments) }
    }

    func stop() {
        let all = fetchers.withLock { fetchers in
            defer { fetchers.removeAll() }
            return Array(fetchers.values)
        }
        for fetcher in all { fetcher.stop() }
        queue.stop()
    }
}

/// Spreads a topic's partitions evenly over fetchers.
private enum TopicSpread {
    static func hash(_ topic: String, _ partition: Int32) -> UInt32 {
        var hash: UInt32 = 0
        for unit in topic.utf16 { hash = hash &* 31 &+ UInt32(unit) }
        return hash &+ UInt32(bitPattern: partition)
    }
}
