import Broker
import ClusterMetadata
import CommitLog
import Configuration
import Dispatch
import EtcdMetadata
import KafkaProtocol
import Logging
import NIOCore

/// A node whose data is open and that nobody can reach yet.
struct OpenedNode {
    var broker: Broker
    /// The life of the machine that it runs in.
    var machine: String
    /// What the node will say of itself; where it is reached is known later.
    var identity: ClusterMembership.Identity
}

extension Node {
    private static let storeRetry = Duration.seconds(1)

    /// Opens what is in the storage, or makes it.
    func open(_ storage: NodeStorage, peers: any PeerNetwork) async throws -> OpenedNode {
        try storage.prepare(storage.path)
        let before: MetaProperties?
        do {
            before = try MetaProperties.existing(in: storage.path, storage.fileSystem)
        } catch {
            throw NodeError("cannot open the data folder \(storage.path): \(error)")
        }
        let isClustered = configuration.string("metadata.store") == "etcd"
        let cluster = isClustered ? try await joinCluster() : try embedded(storage, before)
        do {
            return try open(storage, cluster, before, isClustered: isClustered, peers)
        } catch {
            cluster.close()
            if let error = error as? NodeError { throw error }
            throw NodeError("cannot open the data folder \(storage.path): \(Node.explain(error))")
        }
    }

    // MARK: Metadata

    private func embedded(_ storage: NodeStorage, _ before: MetaProperties?) throws -> ClusterState {
        do {
            return try ClusterState(
                store: try storage.openMetadata(storage.path), nodeId: configuration.nodeId,
                newClusterId: { before?.clusterId ?? Uuid.random().description })
        } catch {
            throw NodeError("cannot open the data folder \(storage.path): \(error)")
        }
    }

    /// Waits for etcd for as long as it takes, and says so.
    private func joinCluster() async throws -> ClusterState {
        var lastTrouble = ""
        while true {
            switch await Node.outsideTasks({ [self] in join() }) {
            case .success(let cluster): return cluster
            case .failure(let error):
                // Another node of a new cluster was faster.
                if case .conflict = error { continue }
                if case .corrupt = error { throw NodeError("cannot read the cluster's metadata: \(error)") }
                if lastTrouble != "\(error)" {
                    logger.error(
                        "metadata.unavailable", metadata: ["error": "\(error)", "consequence": "waiting for etcd"])
                    lastTrouble = "\(error)"
                }
            }
            try await Task.sleep(for: Self.storeRetry)
        }
    }

    private func join() -> Result<ClusterState, MetadataStoreError> {
        do throws(MetadataStoreError) {
            let store = try EtcdMetadataStore(EtcdConfiguration(configuration, logger))
            do throws(MetadataStoreError) {
                let cluster = try ClusterState(
                    store: store, nodeId: configuration.nodeId, newClusterId: { Uuid.random().description })
                if cluster.isNew { try cluster.establish() }
                return .success(cluster)
            } catch {
                store.close()
                throw error
            }
        } catch {
            return .failure(error)
        }
    }

    /// Calls of the store wait, which tasks must not.
    static func outsideTasks<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: body()) }
        }
    }

    // MARK: Logs

    private func open(
        _ storage: NodeStorage, _ cluster: ClusterState, _ before: MetaProperties?, isClustered: Bool,
        _ peers: any PeerNetwork
    ) throws -> OpenedNode {
        let clock = SystemClock()
        let image = cluster.image
        let configuration = configuration
        let (logs, report) = try LogDirectory.open(
            LogDirectory.Opening(
                path: storage.path, fileSystem: storage.fileSystem, clusterId: image.clusterId,
                nodeId: configuration.nodeId,
                configuration: { name in
                    let topic = image.topic(named: name.topic)
                    return LogConfiguration(
                        TopicConfiguration(topic?.configuration ?? .init(), broker: configuration),
                        isInternal: InternalTopic.names.contains(name.topic), broker: configuration)
                },
                isForeign: !isClustered && cluster.isNew, recoveryThreads: recoveryThreads,
                now: clock.wallMilliseconds))
        for entry in report.entries {
            logger.warning(
                "log.recovered",
                metadata: [
                    "file": "\(entry.file)", "reason": "\(entry.reason)", "kept.bytes": "\(entry.keptBytes)",
                    "cut.bytes": "\(entry.cutBytes)",
                ])
        }
        let machine = storage.machineLife()
        let life = try logs.beginLife(machine: machine, newDirectoryId: Uuid.random().description)
        if !isClustered, cluster.isNew {
            try LogAdoption.adopt(logs, into: cluster, nodeId: configuration.nodeId, logger)
            try cluster.establish()
        }
        // A node that is alone has nobody to tell.
        if !isClustered { try logs.settleLife(machine: machine) }
        let broker = try Broker(
            Broker.Parts(
                configuration: configuration, cluster: cluster, logs: logs,
                environment: BrokerEnvironment(clock: clock, peers: peers), isClustered: isClustered, logger: logger))
        return OpenedNode(
            broker: broker, machine: machine,
            identity: ClusterMembership.Identity(
                registration: BrokerRegistration(
                    nodeId: configuration.nodeId, endpoints: [], rack: nil, incarnation: Uuid.random().description),
                directoryId: life.directoryId, isNewDirectory: life.isNew,
                loss: life.mayLackUnsynced ? .unsynced : .nothing))
    }

    private var recoveryThreads: Int {
        let configured = configuration.int("num.recovery.threads.per.data.dir")
        return configured > 0 ? configured : System.coreCount
    }

    static func explain(_ error: any Error) -> String {
        guard let error = error as? LogDirectoryError else { return "\(error)" }
        switch error {
        case .locked: return "another process uses it"
        case .belongsElsewhere(let properties):
            return "it belongs to node \(properties.nodeId) of cluster \(properties.clusterId); "
                + "start with --set node.id=\(properties.nodeId) or use another folder"
        case .corruptMetaProperties(let file): return "\(file) is damaged"
        case .fileSystem(let error): return "\(error)"
        case .log(let name, .unsupportedMessageFormat(let file, let magic)):
            return "\(name): \(file) holds messages of format \(magic); only record batches (format 2) are read"
        case .log(let name, .fileSystem(let error)): return "\(name): \(error)"
        case .partitionExists, .offline: return "\(error)"
        }
    }
}

extension EtcdConfiguration {
    init(_ configuration: BrokerConfiguration, _ logger: Logger) {
        self.init(endpoints: configuration.list("etcd.endpoints"), logger: logger)
        keyPrefix = configuration.string("etcd.prefix")
        username = configuration.optional("etcd.username")
        password = configuration.optional("etcd.password")
        authorityFile = configuration.optional("etcd.ssl.ca.location")
        certificateFile = configuration.optional("etcd.ssl.certificate.location")
        keyFile = configuration.optional("etcd.ssl.key.location")
        requestTimeout = .milliseconds(configuration.long("etcd.request.timeout.ms"))
    }
}
