import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Replication
import Synchronization

/// Brings what this node has in step with the metadata: makes and removes logs, leads and follows partitions, and shows
/// the data path what there is. All calls come from the control thread, but for `openAll` before anything else runs.
package final class PartitionService: Sendable {
    private unowned let broker: Broker
    private let state = Mutex(State())

    private struct State: Sendable {
        /// What the partitions were brought in step with.
        var applied: [String: TopicMetadata] = [:]
        var appliedConfigurations: [Int32?: ConfigurationValues] = [:]
        /// Why a topic could not be brought in step.
        var failures: [String: String] = [:]
        /// Whether this node might lead then.
        var mayLead = false
        /// Roles that are over, to be told when the data path does not see them any more: who waited there looks anew.
        var ended: [PartitionRegistry.Role] = []
    }

    init(broker: Broker) {
        self.broker = broker
    }

    // MARK: Start

    /// Brings the logs on disk and the metadata together.
    func openAll() throws(NodeError) {
        let image = broker.cluster.image
        reconcile()
        if let (topic, failure) = state.withLock({ $0.failures.min { $0.key < $1.key } }) {
            throw NodeError("topic \(topic): \(failure)")
        }
        for log in broker.logs.allLogs where image.topics[log.name.topic] == nil {
            broker.logger.warning(
                "log.stray",
                metadata: [
                    "partition": "\(log.name)", "path": "\(log.directoryPath)",
                    "reason": "the metadata has no such topic; the files are left as they are",
                ])
        }
    }

    // MARK: Reconciling

    /// Why the topic is not as the metadata wants it; nil when it is.
    func failure(of topic: String) -> String? { state.withLock { $0.failures[topic] } }

    /// A full disk may have room again.
    func retryFailures() {
        if state.withLock({ $0.failures.values.contains { _ in true } }) { reconcile() }
    }

    /// Takes over what the metadata says by now.
    func reconcile() {
        let image = broker.cluster.image
        let mayLead = mayLead(image)
        let (applied, configurations, failures, couldLead) = state.withLock {
            ($0.applied, $0.appliedConfigurations, $0.failures, $0.mayLead)
        }
        let isConfigured = configurations == image.brokerConfigurations
        if !isConfigured { broker.applyDynamicConfiguration() }
        var topics = broker.topics.topics
        var changed = false
        for topic in applied.values where image.topics[topic.name]?.id != topic.id {
            changed = true
            topics[topic.name] = nil
            state.withLock {
                $0.applied[topic.name] = nil
                $0.failures[topic.name] = nil
            }
            retire(topic, to: &topics)
        }
        for topic in image.topics.values {
            let before = applied[topic.name]
            guard before != topic || !isConfigured || mayLead != couldLead || failures[topic.name] != nil else {
                continue
            }
            changed = true
            var failure: String?
            topics[topic.name] = makeTopic(topic, mayLead: mayLead, &failure)
            let reason = failure
            state.withLock {
                $0.applied[topic.name] = topic
                $0.failures[topic.name] = reason
            }
        }
        state.withLock {
            $0.appliedConfigurations = image.brokerConfigurations
            $0.mayLead = mayLead
        }
        guard changed else { return }
        broker.publish(topics)
        let ended = state.withLock { state in
            defer { state.ended.removeAll() }
            return state.ended
        }
        // What waited there must ask the new leader.
        for role in ended { role.end(.notLeader) }
        broker.rolesChanged()
    }

    /// Until the controller has taken note of this life, what the metadata says this node leads is of a former one, whose
    /// epoch it must not go on in: followers may have records of that epoch which this node has lost.
    private func mayLead(_ image: MetadataImage) -> Bool {
        guard broker.isClustered else { return true }
        guard let registration = image.brokers[broker.cluster.nodeId], registration.isAdmitted else { return false }
        return registration.incarnation == broker.membership.incarnation
    }

    private func ended(_ role: PartitionRegistry.Role?) {
        if let role { state.withLock { $0.ended.append(role) } }
    }

    /// The topic is gone: first the data path must not see it any more, then its logs go.
    private func retire(_ topic: TopicMetadata, to topics: inout [String: Topic]) {
        broker.publish(topics)
        for index in topic.partitions.indices {
            remove(PartitionName(topic: topic.name, partition: Int32(index)))
        }
    }

    /// The topic as the data path sees it. Logs that are not there are made; a partition whose log cannot be is left out.
    private func makeTopic(_ topic: TopicMetadata, mayLead: Bool, _ failure: inout String?) -> Topic {
        let nodeId = broker.cluster.nodeId
        let configuration = TopicConfiguration(topic.configuration, broker: broker.configuration)
        let minimumInSyncReplicas = configuration.int("min.insync.replicas")
        let isInternal = topic.isInternal
        let logConfiguration = LogConfiguration(configuration, isInternal: isInternal, broker: broker.configuration)
        var generator = broker.environment.generator
        var leaders: [PartitionLeader?] = []
        var followers: [PartitionFollower?] = []
        for (index, partition) in topic.partitions.enumerated() {
            let name = PartitionName(topic: topic.name, partition: Int32(index))
            var leader: PartitionLeader?
            var follower: PartitionFollower?
            do throws(LogDirectoryError) {
                try removeRemains(of: name, notOf: topic.id)
                if partition.replicas.contains(nodeId) {
                    var own = logConfiguration
                    own.chooseJitter(using: &generator)
                    let log = try log(of: name, topic, own)
                    if partition.leader == nodeId, mayLead {
                        // Coordinators' topics are made as large as the cluster allows, and clients cannot mend them.
                        let minimum =
                            isInternal ? min(minimumInSyncReplicas, partition.replicas.count) : minimumInSyncReplicas
                        leader = lead(log, topic, partition, minimum)
                    } else {
                        follower = follow(log, topic, partition)
                    }
                } else {
                    // It was moved away.
                    remove(name)
                }
            } catch {
                failure = failure ?? "\(error)"
                broker.logger.error("partition.not-opened", metadata: ["partition": "\(name)", "error": "\(error)"])
            }
            leaders.append(leader)
            if follower != nil && followers.isEmpty {
                followers = Array(repeating: nil, count: topic.partitions.count)
            }
            if let follower { followers[index] = follower }
        }
        return Topic(
            name: topic.name, id: topic.id, isInternal: isInternal, leaders: leaders, followers: followers,
            rules: logConfiguration.recordBatchRules, maximumBatchBytes: logConfiguration.maximumMessageBytes,
            minimumInSyncReplicas: minimumInSyncReplicas,
            throttled: (
                ThrottledReplicas(configuration.list("leader.replication.throttled.replicas")),
                ThrottledReplicas(configuration.list("follower.replication.throttled.replicas"))
            ))
    }

    private func log(
        of name: PartitionName, _ topic: TopicMetadata, _ configuration: LogConfiguration
    ) throws(LogDirectoryError) -> Log {
        if let existing = broker.logs.log(name) {
            existing.updateConfiguration(configuration)
            return existing
        }
        return try broker.logs.createLog(
            name, topicId: topic.id.description, configuration: configuration, now: broker.clock.wallMilliseconds)
    }

    private func lead(
        _ log: Log, _ topic: TopicMetadata, _ partition: PartitionMetadata, _ minimumInSyncReplicas: Int
    ) -> PartitionLeader {
        let now = broker.clock.monotonicMilliseconds
        let replicas = PartitionLeader.Replicas(
            nodeId: broker.cluster.nodeId, all: partition.replicas, inSync: partition.inSyncReplicas,
            partitionEpoch: partition.partitionEpoch)
        if case .leader(let leader) = broker.partitions.role(of: log), leader.leaderEpoch == partition.leaderEpoch {
            leader.configurationChanged()
            leader.minimumInSyncReplicas = minimumInSyncReplicas
            leader.holds(replicas, now: now)
            return leader
        }
        let (ordinal, isNew) = enter(log, topic)
        let before = broker.partitions.role(of: log)
        let leader = PartitionLeader(
            topic: topic.name, partition: log.name.partition, log: log, ordinal: ordinal,
            leaderEpoch: partition.leaderEpoch, replicas: replicas, isOpening: isNew,
            synchronizer: broker.synchronizer, now: now)
        leader.minimumInSyncReplicas = minimumInSyncReplicas
        _ = broker.partitions.set(.leader(leader))
        ended(before)
        return leader
    }

    private func follow(_ log: Log, _ topic: TopicMetadata, _ partition: PartitionMetadata) -> PartitionFollower {
        // A leadership that this node may not take up is nobody's.
        let leader = partition.leader == broker.cluster.nodeId ? -1 : partition.leader
        if case .follower(let follower) = broker.partitions.role(of: log),
            follower.leaderEpoch == partition.leaderEpoch, follower.leader == leader
        {
            return follower
        }
        _ = enter(log, topic)
        let before = broker.partitions.role(of: log)
        let follower = PartitionFollower(
            topic: topic.name, partition: log.name.partition, log: log, leader: leader,
            leaderEpoch: partition.leaderEpoch)
        _ = broker.partitions.set(.follower(follower))
        ended(before)
        return follower
    }

    /// A log that was just opened knows its high watermark from the last checkpoint only.
    private func enter(_ log: Log, _ topic: TopicMetadata) -> (ordinal: Int, isNew: Bool) {
        let entered = broker.partitions.ordinal(of: log, topicId: topic.id)
        if entered.isNew, let checkpointed = broker.logs.checkpointedHighWatermark(log.name) {
            log.updateHighWatermark(checkpointed)
        }
        return entered
    }

    // MARK: Removing

    /// A topic of the same name was deleted, and its files were not: they are not this topic's.
    private func removeRemains(of name: PartitionName, notOf id: Uuid) throws(LogDirectoryError) {
        guard let log = broker.logs.log(name) else { return }
        var owner = broker.partitions.topicId(of: log)
        if owner == nil { owner = try broker.logs.topicId(of: name).flatMap { Uuid($0) } }
        guard let owner, owner != id else { return }
        broker.logger.notice("log.remains-removed", metadata: ["partition": "\(name)", "topic.id": "\(owner)"])
        remove(name)
    }

    /// Takes a log out of service and tells who waits on it.
    private func remove(_ name: PartitionName) {
        guard let log = broker.logs.log(name) else { return }
        ended(broker.partitions.remove(log))
        var generator = broker.environment.generator
        let unique = Uuid.random(using: &generator).hyphenated.filter { $0 != "-" }
        do {
            try broker.logs.deleteLog(name, unique: unique, now: broker.clock.wallMilliseconds)
        } catch {
            broker.logger.error("log.not-deleted", metadata: ["partition": "\(name)", "error": "\(error)"])
        }
    }
}
