import Broker
import Configuration
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Accepts connections and gives each to the loop that will serve it.
package final class ConnectionAcceptor: Sendable {
    /// Makes a handler that stands between the network and a connection's own.
    package typealias Interposing = @Sendable (Broker) -> any ChannelHandler

    private let interposing: Interposing?
    private let group: MultiThreadedEventLoopGroup
    private let broker: Broker
    private let loops: [ObjectIdentifier: BrokerLoop]
    private let incomplete: IncompleteRequests
    private let nextId = Atomic<UInt64>(1)
    private let state = Mutex(State())

    private struct State {
        var channels: [any Channel] = []
        var total = 0
        var byAddress: [String: Int] = [:]
        var isStopping = false
    }

    init(group: MultiThreadedEventLoopGroup, broker: Broker, interposing: Interposing? = nil) {
        self.interposing = interposing
        self.group = group
        self.broker = broker
        incomplete = IncompleteRequests(limit: broker.limits.incompleteRequestBytes)
        var loops: [ObjectIdentifier: BrokerLoop] = [:]
        for eventLoop in group.makeIterator() {
            loops[ObjectIdentifier(eventLoop)] = BrokerLoop(broker: broker, port: NIOEventLoopPort(eventLoop))
        }
        self.loops = loops
    }

    /// Listens; returns the port, which the system chose if it was 0.
    func listen(on listener: Listener, configuration: BrokerConfiguration) async throws -> Int {
        let limit = configuration.int("queued.max.response.bytes")
        let receiveBuffer = configuration.int("socket.receive.buffer.bytes")
        let sendBuffer = configuration.int("socket.send.buffer.bytes")
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Int32(configuration.int("socket.listen.backlog.size")))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: limit / 2, high: limit)
            )
            // The level-triggered loop comes back when there is more; a second read each time would mostly find nothing.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            // Beyond 128 KB malloc would map and unmap memory for each buffer.
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 8192, maximum: 65536)
            )
            .childChannelInitializer { [self] channel in
                accept(channel, listener: listener.name)
            }
        if receiveBuffer > 0 {
            bootstrap = bootstrap.childChannelOption(.socketOption(.so_rcvbuf), value: SocketOptionValue(receiveBuffer))
        }
        if sendBuffer > 0 {
            bootstrap = bootstrap.childChannelOption(.socketOption(.so_sndbuf), value: SocketOptionValue(sendBuffer))
        }
        let host = listener.host.isEmpty ? "0.0.0.0" : listener.host
        let channel = try await bootstrap.bind(host: host, port: listener.port).get()
        state.withLock { $0.channels.append(channel) }
        return channel.localAddress?.port ?? listener.port
    }

    private func accept(_ channel: any Channel, listener: String) -> EventLoopFuture<Void> {
        let address = channel.remoteAddress?.ipAddress ?? ""
        guard let loop = loops[ObjectIdentifier(channel.eventLoop)], admit(address) else {
            return channel.close()
        }
        let id = nextId.wrappingAdd(1, ordering: .relaxed).oldValue
        return channel.eventLoop.makeCompletedFuture {
            let handler = ConnectionHandler(loop: loop, listener: listener, id: id, incomplete: incomplete) {
                [self] in release(address)
            }
            if let interposing { try channel.pipeline.syncOperations.addHandler(interposing(broker)) }
            try channel.pipeline.syncOperations.addHandler(handler)
        }
    }

    private func admit(_ address: String) -> Bool {
        let limits = broker.limits
        let refusal = state.withLock { state -> String? in
            if state.isStopping { return "shutting down" }
            if state.total >= limits.connections { return "max.connections is \(limits.connections)" }
            if state.byAddress[address, default: 0] >= limits.connectionsPerAddress {
                return "max.connections.per.ip is \(limits.connectionsPerAddress)"
            }
            state.total += 1
            state.byAddress[address, default: 0] += 1
            return nil
        }
        guard let refusal else { return true }
        broker.logger.warning("connection.refused", metadata: ["client": "\(address)", "reason": "\(refusal)"])
        return false
    }

    private func release(_ address: String) {
        state.withLock { state in
            state.total -= 1
            let left = state.byAddress[address, default: 1] - 1
            state.byAddress[address] = left > 0 ? left : nil
        }
    }

    // MARK: The end

    /// Takes no more connections and no more requests; replies that are owed still go out.
    func stopAccepting() async {
        let channels = state.withLock { state -> [any Channel] in
            state.isStopping = true
            return state.channels
        }
        for channel in channels {
            do {
                try await channel.close()
            } catch {
                broker.logger.debug("listener.close", metadata: ["error": "\(error)"])
            }
        }
        await onEachLoop { $0.stopTakingRequests() }
    }

    func closeAll() async {
        await onEachLoop { $0.closeConnections() }
    }

    /// Closes connections on which nothing came or went for too long.
    func closeIdle() async {
        await onEachLoop { $0.closeIdleConnections() }
    }

    private func onEachLoop(_ body: @escaping @Sendable (BrokerLoop) -> Void) async {
        for loop in loops.values {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                loop.port.execute {
                    body(loop)
                    continuation.resume()
                }
            }
        }
    }
}
