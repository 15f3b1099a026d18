import ClusterMetadata
import CommitLog
import Configuration
import Foundation
import KafkaProtocol
import Logging
import Replication
import Synchronization

/// One node: its topics and logs, and what its connections share.
package final class Broker: Sendable {
    /// The metadata as this node knows it.
    package let cluster: ClusterState
    /// Whether there may be other nodes.
    package let isClustered: Bool
    package let environment: BrokerEnvironment
    package let logs: LogDirectory
    package let clock: any BrokerClock
    package let logger: Logger
    package let limits: BrokerLimits
    package let metrics = BrokerMetrics()
    /// Where work runs that may wait for the disk, one piece after the other.
    package let control: any WorkQueue
    let synchronizer: any LogSynchronizer
    /// The listener that the other nodes use.
    let interBrokerListener: String
    let fetchSessions: FetchSessionCache
    let leaderThrottle = ReplicationThrottle()
    let followerThrottle = ReplicationThrottle()
    let producerIds = ProducerIds()
    let partitions = PartitionRegistry()
    private let fixedConfiguration: BrokerConfiguration
    private let topicsState: Mutex<TopicTable>
    private let generation = Atomic<Int>(1)
    private let configurationState: Mutex<BrokerConfiguration>
    private let advertised = Mutex<[String: BrokerEndpoint]>([:])
    // Set once while the broker is being made; they need the broker themselves.
    nonisolated(unsafe) private var services:
        (
            peers: Peers, partitions: PartitionService, topics: TopicService, groups: GroupService,
            transactions: TransactionService, membership: ClusterMembership, controller: Controller,
            fetchers: ReplicaFetchers, inSyncSets: InSyncSetKeeper
        )!
    private let isStarted = Atomic<Bool>(false)

    /// What a broker is made of; the server gives the real ones, tests simulated ones.
    package struct Parts: Sendable {
        package var configuration: BrokerConfiguration
        package var cluster: ClusterState
        package var logs: LogDirectory
        package var environment: BrokerEnvironment
        /// Whether there may be other nodes.
        package var isClustered: Bool
        package var logger: Logger

        package init(
            configuration: BrokerConfiguration, cluster: ClusterState, logs: LogDirectory,
            environment: BrokerEnvironment, isClustered: Bool = false, logger: Logger
        ) {
            self.configuration = configuration
            self.cluster = cluster
            self.logs = logs
            self.environment = environment
            self.isClustered = isClustered
            self.logger = logger
        }
    }

    /// Takes over the logs of all topics that the metadata knows.
    package init(_ parts: Parts) throws(NodeError) {
        cluster = parts.cluster
        logs = parts.logs
        environment = parts.environment
        clock = parts.environment.clock
        isClustered = parts.isClustered
        interBrokerListener = parts.configuration.optional("inter.broker.listener.name") ?? ""
        logger = parts.logger
        fixedConfiguration = parts.configuration
        limits = BrokerLimits(parts.configuration)
        control = parts.environment.makeQueue("martlet.control")
        fetchSessions = FetchSessionCache(
            slots: parts.configuration.int("max.incremental.fetch.session.cache.slots"), environment: parts.environment)
        topicsState = Mutex(TopicTable([:], seed: parts.environment.random()))
        configurationState = Mutex(parts.configuration)
        let partitions = partitions
        let logger = parts.logger
        synchronizer = parts.environment.makeSynchronizer { log, result in
            switch result {
            case .success(let offset):
                partitions.role(of: log)?.synchronized(to: offset)
            case .failure(.closed):
                // The topic is gone; whoever waits on it has been told.
                partitions.role(of: log)?.end(.notLeader)
            case .failure(let error):
                logger.critical(
                    "log.sync-failed",
                    metadata: ["partition": "\(log.name)", "error": "\(error)", "consequence": "log directory offline"])
                for role in partitions.roles { role.end(.failed) }
            }
        }
        services = (
            Peers(broker: self, network: environment.peers), PartitionService(broker: self), TopicService(broker: self),
            GroupService(broker: self), TransactionService(broker: self), ClusterMembership(broker: self),
            Controller(broker: self), ReplicaFetchers(broker: self), InSyncSetKeeper(broker: self)
        )
        applyDynamicConfiguration()
        try services.partitions.openAll()
    }

    var peers: Peers { services.peers }
    package var partitionService: PartitionService { services.partitions }
    package var membership: ClusterMembership { services.membership }
    var controller: Controller { services.controller }
    var replicaFetchers: ReplicaFetchers { services.fetchers }
    var inSyncSets: InSyncSetKeeper { services.inSyncSets }
    package var topicService: TopicService { services.topics }
    package var groups: GroupService { services.groups }
    package var transactions: TransactionService { services.transactions }

    /// Reads the groups and transactions from their logs, so that they are served. Call once, when the broker is
    /// otherwise ready.
    package func start() {
        isStarted.store(true, ordering: .relaxed)
        rolesChanged()
        if isClustered {
            membership.start()
            controller.start()
            inSyncSets.start()
        }
    }

    /// Whether this node decides about topics and partitions.
    package var isController: Bool { !isClustered || controller.isActive }

    /// This node leads and follows other partitions than before, or topics have changed.
    func rolesChanged() {
        guard isStarted.load(ordering: .relaxed) else { return }
        groups.rolesChanged()
        transactions.rolesChanged()
        groups.topicsChanged()
        replicaFetchers.rolesChanged()
    }

    // MARK: Topics for the data path

    var topicGeneration: Int { generation.load(ordering: .relaxed) }

    func currentTopics() -> (TopicTable, Int) {
        topicsState.withLock { ($0, generation.load(ordering: .relaxed)) }
    }

    package var topics: TopicTable { topicsState.withLock { $0 } }

    /// Every loop sees the new table with its next request.
    func publish(_ topics: [String: Topic]) {
        let table = TopicTable(topics, seed: environment.random())
        topicsState.withLock { state in
            state = table
            generation.wrappingAdd(1, ordering: .relaxed)
        }
    }

    // MARK: Configuration

    /// As it is now, with what was changed at run time.
    package var configuration: BrokerConfiguration { configurationState.withLock { $0 } }

    var configurations: BrokerConfigurationLayers {
        let image = cluster.image
        return BrokerConfigurationLayers(
            dynamic: image.brokerConfigurations[cluster.nodeId] ?? .init(),
            dynamicDefault: image.brokerConfigurations[nil] ?? .init(), fixed: fixedConfiguration)
    }

    func applyDynamicConfiguration() {
        let effective = configurations.effective
        configurationState.withLock { $0 = effective }
    }

    // MARK: Addresses

    /// Tells under which address clients of a listener reach this node.
    package func advertise(_ endpoint: BrokerEndpoint, on listener: String) {
        advertised.withLock { $0[listener] = endpoint }
    }

    func endpoint(of registration: BrokerRegistration, listener: String) -> BrokerEndpoint {
        if registration.nodeId == cluster.nodeId, let endpoint = advertised.withLock({ $0[listener] }) {
            return endpoint
        }
        let endpoint = registration.endpoint(on: listener)
        return BrokerEndpoint(host: endpoint?.host ?? "", port: endpoint?.port ?? -1)
    }

    // MARK: The disk

    func diskSpace() -> (total: Int64, usable: Int64) {
        do {
            let values = try FileManager.default.attributesOfFileSystem(forPath: logs.path)
            let total = (values[.systemSize] as? NSNumber)?.int64Value ?? -1
            return (total, (values[.systemFreeSize] as? NSNumber)?.int64Value ?? -1)
        } catch {
            logger.warning("disk.space-unknown", metadata: ["error": "\(error)"])
            return (-1, -1)
        }
    }

    // MARK: The end

    /// Finishes what was begun: groups answer who waits, and what was appended is synced, so that its replies go out.
    package func quiesce() {
        inSyncSets.stop()
        replicaFetchers.stop()
        transactions.stop()
        groups.stop()
        control.stop()
        peers.close()
        synchronizer.stop()
    }

    /// Closes the logs cleanly. Connections must be closed before.
    package func close() throws(LogDirectoryError) {
        if logs.health.isOffline {
            cluster.close()
            throw .offline
        }
        try logs.close(now: clock.wallMilliseconds)
        cluster.close()
    }
}

package struct BrokerEndpoint: Sendable, Equatable {
    package var host: String
    package var port: Int32

    package init(host: String, port: Int32) {
        self.host = host
        self.port = port
    }
}

/// Why a node cannot start or stop as it should, in one line.
package struct NodeError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
