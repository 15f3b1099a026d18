import ClusterMetadata
import CommitLog
import Configuration
import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import Replication
import Synchronization

typealias GroupShard = CoordinatorShard<GroupCoordinatorShard>

/// The groups: a shard of the coordinator for each partition of `__consumer_offsets`.
package final class GroupService: Sendable {
    private unowned let broker: Broker
    /// By partition; empty until the topic is there.
    private let shards = Mutex<[GroupShard]>([])
    /// Group timers have a thread of their own, so that no slow disk makes sessions expire late.
    let timers = ControlThread(label: "martlet.group-timers")

    init(broker: Broker) {
        self.broker = broker
    }

    var allShards: [GroupShard] { shards.withLock { $0 } }

    /// Whether there is a topic for the groups.
    var isReady: Bool { shards.withLock { !$0.isEmpty } }

    /// Which partition a group's records go to; nil while `__consumer_offsets` is not there.
    func shard(of groupId: String) -> GroupShard? {
        shards.withLock { shards in
            shards.isEmpty ? nil : shards[Int(GroupService.partition(of: groupId, count: Int32(shards.count)))]
        }
    }

    /// As Kafka computes it, with Java's hash of a string.
    static func partition(of groupId: String, count: Int32) -> Int32 {
        var hash: Int32 = 0
        for unit in groupId.utf16 { hash = hash &* 31 &+ Int32(unit) }
        return (hash & 0x7FFF_FFFF) % count
    }

    private var role: GroupShard.Role {
        GroupShard.Role(
            makeMachine: { [self] leader in GroupCoordinatorShard(configuration, for: leader.log) },
            prepare: { [self] machine, now, actions in
                machine.topicsChanged(topicsImage(), now: now, into: &actions)
            },
            perform: { _, _ in }, timers: timers)
    }

    /// Makes the shards for the partitions that have none, and loads them.
    func loadAll() {
        guard let topic = broker.topics.topic(named: InternalTopic.consumerOffsets) else { return }
        let new = shards.withLock { shards -> [GroupShard] in
            // The number of partitions decides where a group is, so it never changes once groups are served.
            guard shards.isEmpty else { return [] }
            shards = topic.leaders.map { GroupShard(leader: $0, broker: broker, role: role) }
            return shards
        }
        for shard in new {
            broker.control.enqueue { shard.load() }
        }
    }

    /// Topics were made, removed or extended.
    func topicsChanged() {
        let image = topicsImage()
        for shard in allShards {
            shard.update { $0.topicsChanged(image, now: $1, into: &$2) }
        }
    }

    func topicsImage() -> TopicsImage {
        TopicsImage(
            broker.controller.image.topics.values.map { topic in
                TopicsImage.Topic(id: topic.id, name: topic.name, partitionCount: Int32(topic.partitions.count))
            })
    }

    func stop() {
        for shard in allShards { shard.stop() }
        timers.stop()
    }

    var configuration: GroupConfiguration {
        let broker = broker.configuration
        var configuration = GroupConfiguration()
        configuration.groupMinSessionTimeoutMs = Int32(broker.int("group.min.session.timeout.ms"))
        configuration.groupMaxSessionTimeoutMs = Int32(broker.int("group.max.session.timeout.ms"))
        configuration.groupInitialRebalanceDelayMs = Int32(broker.int("group.initial.rebalance.delay.ms"))
        configuration.groupMaxSize = Int32(broker.int("group.max.size"))
        configuration.groupConsumerSessionTimeoutMs = Int32(broker.int("group.consumer.session.timeout.ms"))
        configuration.groupConsumerHeartbeatIntervalMs = Int32(broker.int("group.consumer.heartbeat.interval.ms"))
        configuration.groupConsumerMaxSize = Int32(broker.int("group.consumer.max.size"))
        configuration.groupConsumerAssignors = broker.list("group.consumer.assignors").compactMap {
            ServerAssignor(rawValue: $0)
        }
        configuration.offsetMetadataMaxBytes = Int32(broker.int("offset.metadata.max.bytes"))
        configuration.offsetsRetentionMinutes = Int32(broker.int("offsets.retention.minutes"))
        configuration.offsetsRetentionCheckIntervalMs = broker.long("offsets.retention.check.interval.ms")
        configuration.producerIdExpirationMs = broker.long("producer.id.expiration.ms")
        return configuration
    }
}

extension GroupCoordinatorShard {
    /// A shard that knows what the log would refuse.
    init(_ configuration: GroupConfiguration, for log: Log) {
        self.init(configuration: configuration, patternMatcher: TopicPatternEngine())
        for producer in log.activeProducers() {
            remember(
                TransactionalProducer(id: producer.producerId, epoch: producer.producerEpoch),
                coordinatorEpoch: producer.coordinatorEpoch,
                hasOpenTransaction: producer.transactionFirstOffset >= 0)
        }
    }
}
