import ClusterMetadata
import CommitLog
import Configuration
import CoordinatorCore
import GroupCoordinator
import KafkaProtocol

typealias GroupShard = CoordinatorShard<GroupCoordinatorShard>

/// The groups: a shard of the coordinator for each partition of `__consumer_offsets`.
package final class GroupService: Sendable {
    private unowned let broker: Broker
    let shards: CoordinatorTopic<GroupCoordinatorShard>
    /// Group timers have a thread of their own, so that changes of topics do not make sessions expire late.
    let timers: any WorkQueue

    init(broker: Broker) {
        self.broker = broker
        timers = broker.environment.makeQueue("martlet.group-timers")
        shards = CoordinatorTopic(InternalTopic.consumerOffsets, broker: broker)
    }

    private var role: GroupShard.Role {
        GroupShard.Role(
            makeMachine: { [unowned self] leader in GroupCoordinatorShard(configuration, for: leader.log) },
            prepare: { [unowned self] machine, now, actions in
                machine.topicsChanged(topicsImage(), now: now, into: &actions)
            },
            perform: { _, _ in }, timers: timers)
    }

    /// This node leads other partitions than before.
    func rolesChanged() {
        shards.rolesChanged(role)
    }

    /// Topics were made, removed or extended.
    func topicsChanged() {
        let image = topicsImage()
        for shard in shards.all {
            shard.update { $0.topicsChanged(image, now: $1, into: &$2) }
        }
    }

    func topicsImage() -> TopicsImage {
        TopicsImage(
            broker.cluster.image.topics.values.map { topic in
                TopicsImage.Topic(id: topic.id, name: topic.name, partitionCount: Int32(topic.partitions.count))
            })
    }

    func stop() {
        shards.stop()
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
        self.init(configuration: configuration, patternMatcher: PatternEngine())
        for producer in log.activeProducers() {
            remember(
                TransactionalProducer(id: producer.producerId, epoch: producer.producerEpoch),
                coordinatorEpoch: producer.coordinatorEpoch,
                hasOpenTransaction: producer.transactionFirstOffset >= 0)
        }
    }
}
