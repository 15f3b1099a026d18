import Broker
import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Logging

/// A machine: its disk, its clock and the lives of the process on it.
final class SimulatedNode: @unchecked Sendable {
    private static let startRetry: Int64 = .milliseconds(700)

    private unowned let world: World
    let id: Int32
    let fileSystem: SimulatedFileSystem
    let clock: SimulatedClock
    private(set) var life: Life?
    /// Nothing of it runs before.
    var pausedUntil: Int64 = 0
    /// Whether what it asks comes to etcd.
    var reachesEtcd = true
    /// Whether what etcd says comes to it.
    var hearsEtcd = true
    /// Rises with every power failure.
    private var machineLife = 1
    var wantsToRun = false

    init(_ world: World, _ id: Int32) {
        self.world = world
        self.id = id
        fileSystem = SimulatedFileSystem(seed: world.timeline.random.next())
        clock = SimulatedClock(world.timeline)
    }

    var isUp: Bool { life != nil }
    /// Whether it runs and its disk works.
    var isHealthy: Bool { life.map { !$0.broker.logs.health.isOffline } ?? false }

    func start() {
        guard life == nil else { return }
        wantsToRun = true
        let life = Life(world, self)
        do {
            try life.open(machine: "machine-\(id)-\(machineLife)")
            self.life = life
            world.note("node \(id) starts, life \(life.number)")
        } catch {
            life.isAlive = false
            fileSystem.restartProcess()
            world.note("node \(id) does not start: \(error)")
            if !(error is MetadataStoreError), !hasDiskFaults {
                world.fail("node \(id) cannot open its data: \(error)")
            }
            world.timeline.after(Self.startRetry, "start-again") { [self] in if wantsToRun { start() } }
        }
    }

    /// The next operations of these kinds fail.
    private(set) var hasDiskFaults = false

    func inject(_ fault: SimulatedFileSystem.Fault) {
        hasDiskFaults = true
        fileSystem.inject(fault)
    }

    func repairDisk() {
        hasDiskFaults = false
        fileSystem.clearFaults()
    }

    /// `kill -9`, or the power fails.
    func kill(powerFailure: Bool) {
        wantsToRun = false
        guard let ended = life else { return }
        world.note("node \(id) \(powerFailure ? "loses power" : "is killed")")
        ended.isAlive = false
        life = nil
        pausedUntil = 0
        world.network.ended(ended, silently: powerFailure)
        if powerFailure {
            machineLife += 1
            world.invariants.lostPower(id)
            fileSystem.restart()
        } else {
            fileSystem.restartProcess()
        }
        world.bury(ended)
    }

    /// As on a signal to end.
    func stopCleanly() {
        guard let stopping = life else { return }
        wantsToRun = false
        world.note("node \(id) is asked to stop")
        stopping.broker.membership.handOver { [self] in
            guard stopping.isAlive, life === stopping else { return }
            world.note("node \(id) stops")
            stopping.stop()
            stopping.isAlive = false
            life = nil
            world.network.ended(stopping, silently: false)
            fileSystem.restartProcess()
            world.bury(stopping)
            if world.isHealing { start() }
        }
    }
}

/// One life of a node's process.
final class Life: @unchecked Sendable {
    let world: World
    let node: SimulatedNode
    let number: Int
    var isAlive = true
    /// From its start on it waits for what it asks of the metadata store.
    private(set) var isRunning = false
    private(set) var broker: Broker!
    private(set) var loop: BrokerLoop!
    private(set) var port: SimulatedPort!
    private(set) var maintenance: BrokerMaintenance!
    private var connections: UInt64 = 0

    init(_ world: World, _ node: SimulatedNode) {
        self.world = world
        self.node = node
        number = world.makeLifeNumber()
        port = SimulatedPort(self)
    }

    var clock: SimulatedClock { node.clock }
    var isServing: Bool { isAlive && loop != nil }

    func nextConnectionId() -> UInt64 {
        connections += 1
        return connections
    }

    static let offsetPartitions: Int32 = 2
    static let settings = [
        "metadata.store=etcd", "broker.session.timeout.ms=3000", "replica.lag.time.max.ms=4000",
        "default.replication.factor=3", "min.insync.replicas=2", "offsets.topic.num.partitions=\(offsetPartitions)",
        "transaction.state.log.num.partitions=2", "leader.imbalance.check.interval.seconds=30",
        "auto.create.topics.enable=false", "log.flush.offset.checkpoint.interval.ms=3000",
        "controlled.shutdown.timeout.ms=5000", "log.cleaner.enable=false",
        "group.min.session.timeout.ms=1000", "group.initial.rebalance.delay.ms=300",
        "group.consumer.session.timeout.ms=5000", "group.consumer.heartbeat.interval.ms=1000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
    ]

    func open(machine: String) throws {
        let configuration = try BrokerConfiguration(
            propertiesText: nil, overrides: Self.settings + ["node.id=\(node.id)"])
        let store = SimulatedMetadataStore(self)
        let cluster = try ClusterState(
            store: store, nodeId: node.id, newClusterId: { "AAAAAAAAAAAAAAAAAAAAAQ" })
        if cluster.isNew { try cluster.establish() }
        let image = cluster.image
        let before = try MetaProperties.existing(in: "data", node.fileSystem)
        let (logs, _) = try LogDirectory.open(
            LogDirectory.Opening(
                path: "data", fileSystem: node.fileSystem, clusterId: image.clusterId, nodeId: node.id,
                configuration: { name in
                    LogConfiguration(
                        TopicConfiguration(
                            image.topic(named: name.topic)?.configuration ?? .init(), broker: configuration),
                        isInternal: InternalTopic.names.contains(name.topic), broker: configuration)
                },
                now: clock.wallMilliseconds))
        var generator = world.timeline.random
        let beginning = try logs.beginLife(machine: machine, newDirectoryId: Uuid.random(using: &generator).description)
        let incarnation = Uuid.random(using: &generator).description
        world.timeline.random = generator
        var environment = BrokerEnvironment(clock: clock, peers: SimulatedPeers(self))
        environment.random = { [unowned world] in world.timeline.random.next() }
        environment.makeQueue = { [unowned self] _ in SimulatedQueue(self) }
        environment.makeSynchronizer = { [unowned self] completion in
            self.world.plant.wrap(SimulatedSynchronizer(self, completion), self)
        }
        var logger = Logger(label: "node-\(node.id)") { [unowned world, id = node.id] _ in
            WorldLogHandler(world: world, node: id)
        }
        logger.logLevel = .info
        broker = try Broker(
            Broker.Parts(
                configuration: configuration, cluster: cluster, logs: logs, environment: environment,
                isClustered: true, logger: logger))
        loop = BrokerLoop(broker: broker, port: port)
        maintenance = BrokerMaintenance(broker)
        let endpoint = BrokerRegistration.Endpoint(listener: World.listener, host: "node-\(node.id)", port: node.id)
        broker.advertise(BrokerEndpoint(host: endpoint.host, port: endpoint.port), on: World.listener)
        broker.membership.identify(
            ClusterMembership.Identity(
                registration: BrokerRegistration(
                    nodeId: node.id, endpoints: [endpoint], rack: nil, incarnation: incarnation),
                directoryId: beginning.directoryId, isNewDirectory: before == nil,
                loss: world.plant.loss(beginning.mayLackUnsynced ? .unsynced : .nothing)))
        isRunning = true
        broker.start()
        maintenance.start()
        settle(machine: machine)
    }

    /// As a node does once it is admitted: what it may have lost before counts no more.
    private func settle(machine: String) {
        world.timeline.after(.milliseconds(5), "settle", life: self) { [self] in
            guard broker.cluster.image.brokers[node.id]?.isAdmitted == true, broker.membership.isRegistered else {
                return settle(machine: machine)
            }
            do {
                try broker.logs.settleLife(machine: machine)
            } catch {
                world.fail("node \(node.id) cannot take note of its admission: \(error)")
            }
        }
    }

    func stop() {
        broker.quiesce()
        maintenance.stop()
        do {
            try broker.close()
        } catch {
            world.note("node \(node.id) does not close cleanly: \(error)")
        }
    }
}

/// Puts what nodes log into the trace.
struct WorldLogHandler: LogHandler {
    unowned let world: World
    let node: Int32
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let details = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        world.note("[\(node)] \(event.message) \(details.joined(separator: " "))")
        world.invariants.logged(event.level, "\(event.message)", event.metadata ?? [:], by: node)
    }
}
