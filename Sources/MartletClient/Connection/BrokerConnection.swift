import KafkaProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A connection to one broker whose versions are known. Any task may use it; requests are answered in order.
package final class BrokerConnection: Sendable {
    package let address: BrokerAddress
    let channel: any Channel
    private let options: ClientOptions
    let versions: ApiVersionTable

    private init(address: BrokerAddress, channel: any Channel, options: ClientOptions, versions: ApiVersionTable) {
        self.address = address
        self.channel = channel
        self.options = options
        self.versions = versions
    }

    /// Connects, with TLS and SASL where the options say so, and asks for the broker's versions. Throws
    /// `connectionFailed`, `authenticationFailed`, or what the first request met.
    package static func open(
        _ address: BrokerAddress, options: ClientOptions,
        on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws(ClientError) -> BrokerConnection {
        let channel: any Channel
        let failure = NIOLockedValueBox<ClientError?>(nil)
        do {
            channel = try await ClientBootstrap(group: group)
                .connectTimeout(TimeAmount(options.connectTimeout))
                .channelOption(.socketOption(.so_keepalive), value: 1)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(
                    .recvAllocator,
                    value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 20)
                )
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls = try options.security?.handler(host: address.host) {
                            try channel.pipeline.syncOperations.addHandler(tls)
                        }
                        try channel.pipeline.syncOperations.addHandlers([
                            ByteToMessageHandler(ReplyFrameDecoder(maximumBytes: options.maximumReplyBytes)),
                            ConnectionHandler(address: address, failure: failure),
                        ])
                    }
                }
                .connect(host: address.host, port: address.port).get()
        } catch {
            throw ClientError(
                .connectionFailed, "cannot connect to \(address) (\(ConnectFailure.reason(error)))",
                nextStep: "start a broker there with 'martlet server' or name another with --bootstrap-server",
                isUnresolved: ConnectFailure.isUnresolved(error))
        }
        let unversioned = BrokerConnection(
            address: address, channel: channel, options: options, versions: ApiVersionTable())
        do throws(ClientError) {
            let table = try await unversioned.askForVersions()
            let connection = BrokerConnection(
                address: address, channel: channel, options: options, versions: table)
            try await connection.authenticate()
            // Whoever wanted it may not want it any more.
            if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
            return connection
        } catch {
            channel.close(promise: nil)
            // TLS may have failed before the first request was written.
            if let cause = failure.withLockedValue({ $0 }), cause.code == .authenticationFailed { throw cause }
            guard error.code == .timedOut || error.code == .connectionLost else { throw error }
            throw ClientError(
                error.code, "\(address) took the connection but does not answer",
                nextStep: options.security?.context == nil
                    ? "check that a Kafka broker without TLS listens there" : "check that a Kafka broker listens there")
        }
    }

    package var isOpen: Bool { channel.isActive }

    // MARK: Authentication

    /// Says who the client is, where the options say so.
    private func authenticate() async throws(ClientError) {
        guard let credentials = options.security?.credentials else { return }
        let lifetime = try await SaslExchange(
            credentials: credentials, connection: self, timeout: options.connectTimeout
        ).authenticate()
        if let lifetime { reauthenticate(before: lifetime) }
    }

    /// The broker ends a connection whose authentication is as old as that at its next request (KIP-368). So the client says
    /// once more who it is before that, at a time by chance, so that not all connections do it at once.
    private func reauthenticate(before lifetime: Duration) {
        channel.eventLoop.scheduleTask(in: TimeAmount(lifetime * Double.random(in: 0.85...0.95))) { [weak self] in
            guard let self, channel.isActive else { return }
            Task { await self.reauthenticate() }
        }
    }

    /// Between the other requests: those before have their replies, and those after wait.
    private func reauthenticate() async {
        do {
            try await channel.triggerUserOutboundEvent(Reauthentication.begin).get()
        } catch {
            // The connection has ended, of which all who use it are told.
            return
        }
        do throws(ClientError) {
            try await authenticate()
            channel.triggerUserOutboundEvent(Reauthentication.end, promise: nil)
        } catch {
            channel.triggerUserOutboundEvent(Reauthentication.failed(error), promise: nil)
        }
    }

    /// Sends a request of the authentication in the highest common version.
    func sendAuthentication<Request: ProtocolRequest>(
        _ request: Request, timeout: Duration
    ) async throws(ClientError) -> Request.Response {
        try await send(
            request, version: try supportedVersion(of: Request.self), timeout: timeout, isAuthentication: true)
    }

    // MARK: Requests

    package func close() {
        channel.close(promise: nil)
    }

    /// The version in which `request` is sent, nil when the broker does not take it in any that is known here.
    package func version<Request: ProtocolRequest>(of request: Request.Type) -> Int16? {
        versions.version(for: request)
    }

    /// Sends a request in the highest common version, `maximumVersion` at most, and waits for the reply.
    package func send<Request: ProtocolRequest>(
        _ request: Request, maximumVersion: Int16 = .max, timeout: Duration? = nil
    ) async throws(ClientError) -> Request.Response {
        let version = min(try supportedVersion(of: Request.self), maximumVersion)
        return try await send(request, version: version, timeout: timeout ?? options.requestTimeout)
    }

    /// Sends a request that the broker does not answer, and waits until it is handed to the system.
    package func sendWithoutReply<Request: ProtocolRequest>(
        _ request: Request, maximumVersion: Int16 = .max
    ) async throws(ClientError) {
        let version = min(try supportedVersion(of: Request.self), maximumVersion)
        let frame = try RequestFrame.encode(request, version: version, clientId: options.clientId)
        do {
            try await channel.writeAndFlush(
                OutboundRequest(frame: ByteBuffer(bytes: frame), timeout: .seconds(0), reply: nil)
            ).get()
        } catch {
            throw ClientError(.connectionLost, "\(address) ended the connection (\(error))")
        }
    }

    private func supportedVersion<Request: ProtocolRequest>(of request: Request.Type) throws(ClientError) -> Int16 {
        guard let version = versions.version(for: request) else {
            throw ClientError(.unsupportedVersion, "\(address) does not know the request \(Request.apiKey)")
        }
        return version
    }

    private func send<Request: ProtocolRequest>(
        _ request: Request, version: Int16, timeout: Duration, isAuthentication: Bool = false
    ) async throws(ClientError) -> Request.Response {
        let frame = try RequestFrame.encode(request, version: version, clientId: options.clientId)
        let promise = ReplyPromise()
        let reply = await promise.wait {
            let outbound = OutboundRequest(
                frame: ByteBuffer(bytes: frame), timeout: TimeAmount(timeout), reply: promise,
                isAuthentication: isAuthentication)
            channel.writeAndFlush(outbound).whenFailure { [address] error in
                promise.complete(
                    .failure(ClientError(.connectionLost, "\(address) ended the connection (\(error))")))
            }
        }
        return try RequestFrame.decode(try reply.get(), replyTo: Request.self, version: version)
    }

    /// Version 3 says who asks; a broker that does not know it answers in version 0 which ones it has (KIP-511).
    private func askForVersions() async throws(ClientError) -> ApiVersionTable {
        var request = ApiVersionsRequest()
        request.clientSoftwareName = "martlet"
        request.clientSoftwareVersion = "0.1.0"
        do throws(ClientError) {
            let response = try await send(request, version: 3, timeout: options.connectTimeout)
            if response.errorCode == 0 { return ApiVersionTable(response) }
        } catch  where error.code == .malformedReply {
            // A version 0 reply does not decode as version 3.
        }
        let response = try await send(ApiVersionsRequest(), version: 0, timeout: options.connectTimeout)
        let code = ErrorCode(rawValue: response.errorCode)
        guard code == .none else { throw .refused(code, "\(address)") }
        return ApiVersionTable(response)
    }
}
