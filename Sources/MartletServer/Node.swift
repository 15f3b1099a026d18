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
        let running = try await start(.disk(configuration.dataDirectory))
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
        let broker = try makeBroker(storage)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: networkThreads)
        let running = RunningNode(
            broker: broker, group: group,
            acceptor: ConnectionAcceptor(group: group, broker: broker, interposing: interposing),
            maintenance: BrokerMaintenance(broker))
        let admin = AdminServer(group: group, broker: broker) { [self] in
            broker.logs.health.isOffline ? .notReady("the data folder is offline after a failed write") : health
        }
        do {
            try await serve(running, admin)
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

    private func serve(_ running: RunningNode, _ admin: AdminServer) async throws {
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
        running.broker.start()
        running.maintenance.start()
        state.withLock { $0 = .ready }
        for listener in bound {
            logger.info(
                "node.ready",
                metadata: [
                    "listener": "\(listener.name)://\(listener.host):\(listener.port)",
                    "node.id": "\(configuration.nodeId)",
                    "cluster.id": "\(running.broker.controller.image.clusterId)",
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
}
