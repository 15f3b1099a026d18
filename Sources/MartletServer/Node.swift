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
    let logger: Logger
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
        let running: RunningNode
        do {
            // It may wait for long: for etcd, or for its place in the cluster.
            running = try await cancelWhenGracefulShutdown { [self] in
                try await start(.disk(configuration.dataDirectory))
            }
        } catch is CancellationError {
            logger.info("node.stopped", metadata: ["reason": "told to stop before it was ready"])
            return
        }
        await watchIdleConnections(running)
        state.withLock { $0 = .notReady("shutting down") }
        logger.info("node.stopping")
        defer { logger.info("node.stopped") }
        try await running.stop()
    }

    /// Begins to serve what is in the storage. Whoever calls this ends it, with `stop` or `crash`.
    package func start(
        _ storage: NodeStorage, interposing: ConnectionAcceptor.Interposing? = nil
    ) async throws -> RunningNode {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: networkThreads)
        let opened: OpenedNode
        do {
            opened = try await open(storage, peers: PeerConnections(group))
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        let broker = opened.broker
        let running = RunningNode(
            broker: broker, group: group,
            acceptor: ConnectionAcceptor(group: group, broker: broker, interposing: interposing),
            maintenance: BrokerMaintenance(broker))
        let admin = AdminServer(group: group, broker: broker) { [self] in
            if broker.logs.health.isOffline { return .notReady("the data folder is offline after a failed write") }
            if broker.isClustered, let trouble = broker.membership.trouble { return .notReady(trouble) }
            return health
        }
        do {
            try await serve(running, admin, opened)
        } catch {
            let reason = error
            do {
                try await running.stop()
            } catch {
                logger.error("node.not-closed", metadata: ["error": "\(error)"])
            }
            throw reason
        }
        return running
    }

    private func serve(
        _ running: RunningNode, _ admin: AdminServer, _ opened: OpenedNode
    ) async throws {
        var bound: [Listener] = []
        for listener in listeners {
            var listener = listener
            // Clients may come before the call returns, and must be told a place.
            advertise(listener, running.broker)
            do {
                listener.port = try await running.acceptor.listen(on: listener, configuration: configuration)
            } catch let error as IOError {
                throw Node.cannotListen(listener, error)
            }
            bound.append(listener)
            advertise(listener, running.broker)
        }
        if let metricsListener {
            let channel: any Channel
            do {
                channel = try await admin.listen(host: metricsListener.host, port: metricsListener.port)
            } catch let error as IOError {
                throw Node.cannotListen(metricsListener, error)
            }
            running.closeAtEnd(channel)
            logger.info("metrics.listening", metadata: ["port": "\(channel.localAddress?.port ?? 0)"])
        }
        var identity = opened.identity
        identity.registration.endpoints = bound.map { endpoint(of: $0) }
        identity.registration.rack = configuration.optional("broker.rack")
        running.broker.membership.identify(identity)
        running.broker.start()
        running.maintenance.start()
        if running.broker.isClustered {
            try await awaitMembership(running.broker)
            try running.broker.logs.settleLife(machine: opened.machine)
        }
        state.withLock { $0 = .ready }
        for listener in bound {
            logger.info(
                "node.ready",
                metadata: [
                    "listener": "\(listener.name)://\(listener.host):\(listener.port)",
                    "node.id": "\(configuration.nodeId)",
                    "cluster.id": "\(running.broker.cluster.image.clusterId)",
                    "data": "\(running.broker.logs.path)",
                ])
        }
        onReady(bound)
    }

    private static func cannotListen(_ listener: Listener, _ error: IOError) -> NodeError {
        NodeError(
            "cannot listen on \(listener.host):\(listener.port): \(String(cString: strerror(error.errnoCode)))")
    }

    /// Until the graceful shutdown begins.
    private func watchIdleConnections(_ running: RunningNode) async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: .seconds(10))
                } catch {
                    return
                }
                await running.acceptor.closeIdle()
            }
        }
    }

    private var networkThreads: Int {
        let configured = configuration.int("num.network.threads")
        return configured > 0 ? configured : max(1, System.coreCount / 2)
    }

    /// Until the others count on this node.
    private func awaitMembership(_ broker: Broker) async throws {
        while broker.cluster.image.brokers[configuration.nodeId]?.isAdmitted != true || !broker.membership.isRegistered
        {
            state.withLock { $0 = .notReady(broker.membership.trouble ?? "joining the cluster") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func advertise(_ listener: Listener, _ broker: Broker) {
        let place = endpoint(of: listener)
        broker.advertise(BrokerEndpoint(host: place.host, port: place.port), on: listener.name)
        guard !broker.isClustered else { return }
        broker.cluster.register(
            BrokerRegistration(
                nodeId: configuration.nodeId, endpoints: [place], rack: configuration.optional("broker.rack")))
    }

    /// Where clients are told to find this node's listener.
    private func endpoint(of listener: Listener) -> BrokerRegistration.Endpoint {
        let advertised = advertisedListeners.first { $0.name == listener.name }
        var host = advertised?.host ?? listener.host
        // An address that stands for all of them is none that a client could connect to.
        if host.isEmpty || host == "0.0.0.0" || host == "::" { host = ProcessInfo.processInfo.hostName }
        let port = Int32(advertised.map { $0.port == 0 ? listener.port : $0.port } ?? listener.port)
        return BrokerRegistration.Endpoint(listener: listener.name, host: host, port: port)
    }
}
