import Broker
import ClusterMetadata
import CommitLog
import Configuration
import Foundation
import KafkaProtocol
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// One Martlet node: from a configuration to a running broker and back.
package final class Node: Service {
    package let configuration: BrokerConfiguration
    private let logger: Logger
    private let listeners: [Listener]
    private let advertisedListeners: [Listener]
    private let metricsListener: Listener?
    private let state = Mutex(NodeHealth.notReady("starting"))
    private let onReady: @Sendable ([Listener]) -> Void

    /// Checks what can be checked before anything is touched. `onReady` is told the listeners, with the ports that the
    /// system chose where the configuration says 0.
    package init(
        configuration: BrokerConfiguration, logger: Logger, onReady: @escaping @Sendable ([Listener]) -> Void = { _ in }
    ) throws(ConfigurationError) {
        self.configuration = configuration
        self.logger = logger
        self.onReady = onReady
        listeners = try Listener.list("listeners", in: configuration)
        advertisedListeners = try Listener.list("advertised.listeners", in: configuration)
        guard !listeners.isEmpty else { throw ConfigurationError("listeners: name at least one") }
        for advertised in advertisedListeners where !listeners.contains(where: { $0.name == advertised.name }) {
            throw ConfigurationError("advertised.listeners: there is no listener named \(advertised.name)")
        }
        metricsListener = try configuration.optional("metrics.listener").map { text throws(ConfigurationError) in
            try Listener.parse("HTTP://" + text, of: "metrics.listener")
        }
        guard configuration.list("log.dirs").count <= 1 else {
            throw ConfigurationError("log.dirs: one folder so far")
        }
    }

    package var health: NodeHealth { state.withLock { $0 } }

    /// Serves until the task or the process is asked to stop.
    package func run() async throws {
        OpenFileLimit.raise(logger)
        for (name, reason) in configuration.withoutEffect {
            logger.warning("configuration.no-effect", metadata: ["name": "\(name)", "reason": "\(reason)"])
        }
        let broker = try makeBroker()
        let threads = networkThreads
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        let acceptor = ConnectionAcceptor(group: group, broker: broker)
        let maintenance = BrokerMaintenance(broker)
        let admin = AdminServer(group: group, broker: broker) { [self] in
            broker.logs.health.isOffline ? .notReady("the data folder is offline after a failed write") : health
        }
        do {
            try await serve(broker, acceptor, maintenance, admin)
        } catch {
            await acceptor.stopAccepting()
            broker.quiesce()
            await acceptor.closeAll()
            maintenance.stop()
            let reason = error
            do {
                try broker.close()
            } catch {
                logger.error("node.not-closed", metadata: ["error": "\(error)"])
            }
            try await group.shutdownGracefully()
            throw reason
        }
        state.withLock { $0 = .notReady("shutting down") }
        logger.info("node.stopping")
        await acceptor.stopAccepting()
        broker.quiesce()
        await acceptor.closeAll()
        maintenance.stop()
        defer { logger.info("node.stopped") }
        do {
            try broker.close()
        } catch {
            throw NodeError(
                "stopped, but the logs could not be closed cleanly: \(Node.explain(error)); "
                    + "nothing acknowledged is lost, the next start recovers them")
        }
        try await group.shutdownGracefully()
    }

    private func serve(
        _ broker: Broker, _ acceptor: ConnectionAcceptor, _ maintenance: BrokerMaintenance, _ admin: AdminServer
    ) async throws {
        var bound: [Listener] = []
        for listener in listeners {
            var listener = listener
            // Clients may come before the call returns, and must be told a place.
            advertise(listener, broker)
            do {
                listener.port = try await acceptor.listen(on: listener, configuration: configuration)
            } catch let error as IOError {
                throw Node.cannotListen(listener, error)
            }
            bound.append(listener)
            advertise(listener, broker)
        }
        var adminChannel: (any Channel)?
        if let metricsListener {
            let channel: any Channel
            do {
                channel = try await admin.listen(host: metricsListener.host, port: metricsListener.port)
            } catch let error as IOError {
                throw Node.cannotListen(metricsListener, error)
            }
            adminChannel = channel
            logger.info("metrics.listening", metadata: ["port": "\(channel.localAddress?.port ?? 0)"])
        }
        broker.start()
        maintenance.start()
        state.withLock { $0 = .ready }
        for listener in bound {
            logger.info(
                "node.ready",
                metadata: [
                    "listener": "\(listener.name)://\(listener.host):\(listener.port)",
                    "node.id": "\(configuration.nodeId)",
                    "cluster.id": "\(broker.controller.image.clusterId)", "data": "\(configuration.dataDirectory)",
                ])
        }
        onReady(bound)
        await watchIdleConnections(acceptor)
        try await adminChannel?.close()
    }

    private static func cannotListen(_ listener: Listener, _ error: IOError) -> NodeError {
        NodeError(
            "cannot listen on \(listener.host):\(listener.port): \(String(cString: strerror(error.errnoCode)))")
    }

    /// Until the graceful shutdown begins.
    private func watchIdleConnections(_ acceptor: ConnectionAcceptor) async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: .seconds(10))
                } catch {
                    return
                }
                await acceptor.closeIdle()
            }
        }
    }

    private var networkThreads: Int {
        let configured = configuration.int("num.network.threads")
        return configured > 0 ? configured : max(1, System.coreCount / 2)
    }

    private func advertise(_ listener: Listener, _ broker: Broker) {
        let advertised = advertisedListeners.first { $0.name == listener.name }
        var host = advertised?.host ?? listener.host
        // An address that stands for all of them is none that a client could connect to.
        if host.isEmpty || host == "0.0.0.0" || host == "::" { host = ProcessInfo.processInfo.hostName }
        let port = Int32(advertised.map { $0.port == 0 ? listener.port : $0.port } ?? listener.port)
        broker.advertise(BrokerEndpoint(host: host, port: port), on: listener.name)
        broker.controller.register(
            BrokerRegistration(
                nodeId: configuration.nodeId, host: host, port: port, rack: configuration.optional("broker.rack")))
    }

    // MARK: Making the broker

    private func makeBroker() throws -> Broker {
        let clock = SystemClock()
        let fileSystem = RealFileSystem()
        let path = configuration.dataDirectory
        let nodeId = configuration.nodeId
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw NodeError("cannot make the data folder \(path): \(error.localizedDescription)")
        }
        do {
            let before = try MetaProperties.existing(in: path, fileSystem)
            let store = try SQLiteMetadataStore(path: path + "/" + Node.metadataFile)
            let controller = try ClusterController(
                store: store, registration: BrokerRegistration(nodeId: nodeId, host: "", port: -1, rack: nil),
                newClusterId: { before?.clusterId ?? Uuid.random().description })
            let image = controller.image
            let configuration = configuration
            let opening = LogDirectory.Opening(
                path: path, fileSystem: fileSystem, clusterId: image.clusterId, nodeId: nodeId,
                configuration: { name in
                    let topic = image.topic(named: name.topic)
                    return LogConfiguration(
                        TopicConfiguration(topic?.configuration ?? .init(), broker: configuration),
                        isInternal: InternalTopic.names.contains(name.topic), broker: configuration)
                },
                isForeign: controller.isNew, recoveryThreads: recoveryThreads, now: clock.wallMilliseconds)
            let (logs, report) = try LogDirectory.open(opening)
            for entry in report.entries {
                logger.warning(
                    "log.recovered",
                    metadata: [
                        "file": "\(entry.file)", "reason": "\(entry.reason)", "kept.bytes": "\(entry.keptBytes)",
                        "cut.bytes": "\(entry.cutBytes)",
                    ])
            }
            if controller.isNew {
                try LogAdoption.adopt(logs, into: controller, nodeId: nodeId, logger)
                try controller.establish()
            }
            return try Broker(
                Broker.Parts(
                    configuration: configuration, controller: controller, logs: logs, clock: clock, logger: logger))
        } catch let error as NodeError {
            throw error
        } catch {
            throw NodeError("cannot open the data folder \(path): \(Node.explain(error))")
        }
    }

    private static let metadataFile = "metadata.sqlite"

    private var recoveryThreads: Int {
        let configured = configuration.int("num.recovery.threads.per.data.dir")
        return configured > 0 ? configured : System.coreCount
    }

    private static func explain(_ error: any Error) -> String {
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
