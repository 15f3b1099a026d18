import ClusterMetadata
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The connections to etcd's members, made when they are needed: one at a time serves the calls, each watch has its own,
/// and one that fails makes way for the next member's.
///
/// etcd pings its client for every message that it receives, to estimate the bandwidth, and NIO's HTTP/2 ends a
/// connection with more than 200 pings in 30 seconds, which gRPC does not let us change. So a connection serves a number
/// of calls that stays below, and then leaves the next ones to another.
final class EtcdConnections: Sendable {
    typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

    struct Connection: Sendable {
        var id: Int
        /// Which of the endpoints it goes to.
        var member: Int
        /// A watch's own.
        var isForWatch: Bool
        var client: Client
        /// Ends when the client was shut down and its streams have ended, or when it is cancelled.
        var run: Task<Void, Never>
    }

    private struct State {
        var preferred = 0
        /// What calls are made through; nil until the next one.
        var current: Connection?
        /// How many pings the calls on it may have caused.
        var pings = 0
        /// All that still run, the current one and those that only finish their calls.
        var running: [Int: Connection] = [:]
        var connectionsMade = 0
        var isClosed = false
        var token: String?
    }

    let configuration: EtcdConfiguration
    private let endpoints: [EtcdEndpoint]
    private let group: MultiThreadedEventLoopGroup
    private let state = Mutex(State())

    init(_ configuration: EtcdConfiguration) throws(MetadataStoreError) {
        endpoints = try configuration.checkedEndpoints()
        self.configuration = configuration
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // A file that cannot be read shall be told at the start, not at the first call.
        for endpoint in endpoints {
            do {
                _ = try transport(to: endpoint)
            } catch {
                group.shutdownGracefully { _ in }
                throw .unavailable("\(endpoint.host):\(endpoint.port): \(error)")
            }
        }
    }

    var endpointCount: Int { endpoints.count }

    /// A connection for a call with so many bytes: the one in use, or a new one to the member whose turn it is.
    func forCall(requestBytes: Int) throws(EtcdFailure) -> Connection {
        let pings = 1 + requestBytes / EtcdConnections.bytesPerPing
        return try withState { state in
            if let connection = state.current, state.pings < EtcdConnections.maximumPings {
                state.pings += pings
                return connection
            }
            // Another call may be about to begin on it.
            if let worn = state.current { giveUp(worn, after: .seconds(1)) }
            let connection = try connect(&state, isForWatch: false)
            state.current = connection
            state.pings = pings
            return connection
        }
    }

    /// A connection that a watch has for itself, until it is given to `giveUp`.
    func forWatch() throws(EtcdFailure) -> Connection {
        try withState { try connect(&$0, isForWatch: true) }
    }

    /// With the largest request on top (1.5 MB, 96 frames) and some of gRPC's own it stays below the 200.
    private static let maximumPings = 90
    private static let bytesPerPing = 16 * 1024

    private func withState(_ body: (inout State) throws -> Connection) throws(EtcdFailure) -> Connection {
        do {
            return try state.withLock { state in
                if state.isClosed { throw EtcdFailure.closed }
                return try body(&state)
            }
        } catch {
            throw EtcdFailure(error, wasSent: false)
        }
    }

    private func connect(_ state: inout State, isForWatch: Bool) throws -> Connection {
        let client = Client(transport: try transport(to: endpoints[state.preferred]))
        state.connectionsMade += 1
        let id = state.connectionsMade
        let run = Task {
            do {
                try await client.runConnections()
            } catch {
                self.configuration.logger.debug("etcd.connection-ended", metadata: ["error": "\(error)"])
            }
            self.ended(id)
        }
        let connection = Connection(
            id: id, member: state.preferred, isForWatch: isForWatch, client: client, run: run)
        state.running[id] = connection
        return connection
    }

    /// The next call goes to another member. When it was not etcd that said what failed, the connection is not to be
    /// trusted any more.
    func failed(_ connection: Connection, _ failure: EtcdFailure) {
        let worn = state.withLock { state -> Connection? in
            // What others found out before is not news.
            let isNews =
                connection.isForWatch ? state.preferred == connection.member : state.current?.id == connection.id
            guard isNews, !failure.isFromEtcd || endpoints.count > 1 else { return nil }
            state.preferred = (connection.member + 1) % endpoints.count
            defer { state.current = nil }
            return state.current
        }
        if let worn { giveUp(worn, after: .zero) }
        let endpoint = endpoints[connection.member]
        configuration.logger.debug(
            "etcd.call-failed",
            metadata: ["endpoint": "\(endpoint.host):\(endpoint.port)", "reason": "\(failure.reason)"])
    }

    /// Takes no more calls after a while. Those under way may still finish, but the peer may be gone without a word, so
    /// they get no longer than any call does.
    func giveUp(_ connection: Connection, after delay: Duration) {
        let timeout = configuration.requestTimeout
        Task {
            // Only this task's own cancellation could end the pauses early, and nothing cancels it.
            try? await Task.sleep(for: delay)
            connection.client.beginGracefulShutdown()
            try? await Task.sleep(for: timeout)
            connection.run.cancel()
        }
    }

    private func ended(_ id: Int) {
        state.withLock { state in
            state.running[id] = nil
            if state.current?.id == id { state.current = nil }
        }
    }

    var token: String? {
        get { state.withLock { $0.token } }
        set { state.withLock { $0.token = newValue } }
    }

    /// Ends all connections, with what is under way on them, and the thread.
    func close() async {
        let running = state.withLock { state -> [Connection] in
            if state.isClosed { return [] }
            state.isClosed = true
            state.current = nil
            return Array(state.running.values)
        }
        for connection in running {
            connection.client.beginGracefulShutdown()
            connection.run.cancel()
        }
        for connection in running { await connection.run.value }
        do {
            try await group.shutdownGracefully()
        } catch {
            configuration.logger.warning("etcd.shutdown-failed", metadata: ["error": "\(error)"])
        }
    }
}

extension EtcdConnections {
    private func transport(to endpoint: EtcdEndpoint) throws -> HTTP2ClientTransport.Posix {
        try HTTP2ClientTransport.Posix(
            target: target(endpoint), transportSecurity: security(endpoint),
            config: .defaults { config in
                // etcd ends connections that ping more often than each five seconds.
                config.connection.keepalive = .init(
                    time: .seconds(10), timeout: .seconds(5), allowWithoutCalls: false)
                // A commit waits for each of its packets.
                config.connection.flushCoalescing = nil
                config.backoff = .init(
                    initial: .milliseconds(100), max: .seconds(1), multiplier: 1.6, jitter: 0.2)
            },
            eventLoopGroup: group)
    }

    private func target(_ endpoint: EtcdEndpoint) -> any ResolvableTarget {
        guard let address = try? NIOCore.SocketAddress(ipAddress: endpoint.host, port: endpoint.port) else {
            return .dns(host: endpoint.host, port: endpoint.port)
        }
        return switch address {
        case .v6: .ipv6(address: endpoint.host, port: endpoint.port)
        default: .ipv4(address: endpoint.host, port: endpoint.port)
        }
    }

    private func security(_ endpoint: EtcdEndpoint) -> HTTP2ClientTransport.Posix.TransportSecurity {
        guard endpoint.usesTLS else { return .plaintext }
        return .tls { tls in
            if let file = configuration.authorityFile {
                tls.trustRoots = .certificates([.file(path: file, format: .pem)])
            }
            if let certificate = configuration.certificateFile, let key = configuration.keyFile {
                tls.certificateChain = [.file(path: certificate, format: .pem)]
                tls.privateKey = .file(path: key, format: .pem)
            }
        }
    }
}
