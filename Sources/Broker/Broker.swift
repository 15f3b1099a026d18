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
    package let controller: ClusterController
    package let logs: LogDirectory
    package let clock: any BrokerClock
    package let logger: Logger
    package let limits: BrokerLimits
    package let metrics = BrokerMetrics()
    /// Where work runs that may wait for the disk, one piece after the other.
    package let control: ControlThread
    let groupCommit: GroupCommit
    let fetchSessions: FetchSessionCache
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
            topics: TopicService, groups: GroupService, transactions: TransactionService
        )!

    /// What a broker is made of; the server gives the real ones, tests simulated ones.
    package struct Parts: Sendable {
        package var configuration: BrokerConfiguration
        package var controller: ClusterController
        package var logs: LogDirectory
        package var clock: any BrokerClock
        package var logger: Logger

        package init(
            configuration: BrokerConfiguration, controller: ClusterController, logs: LogDirectory,
            clock: any BrokerClock, logger: Logger
        ) {
            self.configuration = configuration
            self.controller = controller
            self.logs = logs
            self.clock = clock
            self.logger = logger
        }
    }

    /// Takes over the logs of all topics that the metadata knows.
    package init(_ parts: Parts) throws(NodeError) {
        controller = parts.controller
        logs = parts.logs
        clock = parts.clock
        logger = parts.logger
        fixedConfiguration = parts.configuration
        limits = BrokerLimits(parts.configuration)
        control = ControlThread(label: "martlet.control")
        fetchSessions = FetchSessionCache(slots: parts.configuration.int("max.incremental.fetch.session.cache.slots"))
        topicsState = Mutex(TopicTable([:], seed: UInt64.random(in: .min ... .max)))
        configurationState = Mutex(parts.configuration)
        let partitions = partitions
        let logger = parts.logger
        let clock = parts.clock
        groupCommit = GroupCommit(threads: 1, clock: { clock.wallMilliseconds }) { log, result in
            switch result {
            case .success(let offset):
                partitions.leader(of: log)?.synchronized(to: offset)
            case .failure(.closed):
                // The topic is gone; whoever waits on it has been told.
                partitions.leader(of: log)?.failed()
            case .failure(let error):
                logger.critical(
                    "log.sync-failed",
                    metadata: ["partition": "\(log.name)", "error": "\(error)", "consequence": "log directory offline"])
                for leader in partitions.all { leader.failed() }
            }
        }
        services = (TopicService(broker: self), GroupService(broker: self), TransactionService(broker: self))
        applyDynamicConfiguration()
        try services.topics.openAll()
    }

    package var topicService: TopicService { services.topics }
    package var groups: GroupService { services.groups }
    package var transactions: TransactionService { services.transactions }

    /// Reads the groups and transactions from their logs, so that they are served. Call once, when the broker is
    /// otherwise ready.
    package func start() {
        groups.loadAll()
        transactions.loadAll()
    }

    // MARK: Topics for the data path

    var topicGeneration: Int { generation.load(ordering: .relaxed) }

    func currentTopics() -> (TopicTable, Int) {
        topicsState.withLock { ($0, generation.load(ordering: .relaxed)) }
    }

    package var topics: TopicTable { topicsState.withLock { $0 } }

    /// Every loop sees the new table with its next request.
    func publish(_ topics: [String: Topic]) {
        let table = TopicTable(topics, seed: UInt64.random(in: .min ... .max))
        topicsState.withLock { state in
            state = table
            generation.wrappingAdd(1, ordering: .relaxed)
        }
    }

    // MARK: Configuration

    /// As it is now, with what was changed at run time.
    package var configuration: BrokerConfiguration { configurationState.withLock { $0 } }

    var configurations: BrokerConfigurationLayers {
        let image = controller.image
        return BrokerConfigurationLayers(
            dynamic: image.brokerConfigurations[controller.nodeId] ?? .init(),
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
        guard registration.nodeId == controller.nodeId, let endpoint = advertised.withLock({ $0[listener] }) else {
            return BrokerEndpoint(host: registration.host, port: registration.port)
        }
        return endpoint
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
        transactions.stop()
        groups.stop()
        control.stop()
        groupCommit.stop()
    }

    /// Closes the logs cleanly. Connections must be closed before.
    package func close() throws(LogDirectoryError) {
        if logs.health.isOffline {
            controller.close()
            throw .offline
        }
        try logs.close(now: clock.wallMilliseconds)
        controller.close()
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
