import Crypto
import Foundation
import KafkaProtocol
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

@testable import MartletClient

/// A listener with TLS, SASL or both before a broker that has neither. Tells users apart by itself and passes on what
/// comes after.
final class SecureFront: Sendable {
    struct User: Sendable {
        var name: String
        var password: String
    }

    /// What has happened.
    struct Counts: Sendable {
        var connections = 0
        var authentications = 0
    }

    private let channel: any Channel
    private let counter: Counter
    let port: Int

    fileprivate final class Counter: Sendable {
        let counts = Mutex(Counts())
    }

    private init(_ channel: any Channel, _ counter: Counter) {
        self.channel = channel
        self.counter = counter
        port = channel.localAddress!.port!
    }

    var counts: Counts { counter.counts.withLock { $0 } }

    /// `user` nil asks for none. With a lifetime connections end with a request some time after that, unless the client has
    /// said again who it is; `limit` is how often it may.
    static func start(
        brokerPort: Int, tls: NIOSSLContext?, mechanism: String, user: User?, lifetime: Duration? = nil,
        limit: Int = .max
    ) async throws -> SecureFront {
        let counter = Counter()
        let group = MultiThreadedEventLoopGroup.singleton
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                // The broker's side first, so that nothing from the client comes before.
                ClientBootstrap(group: channel.eventLoop)
                    .channelInitializer { upstream in
                        upstream.eventLoop.makeCompletedFuture {
                            try upstream.pipeline.syncOperations.addHandlers([
                                ByteToMessageHandler(WireFrameDecoder()),
                                UpstreamHandler(client: channel, addsSASL: user != nil),
                            ])
                        }
                    }
                    .connect(host: "127.0.0.1", port: brokerPort)
                    .flatMapThrowing { upstream in
                        if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                        try channel.pipeline.syncOperations.addHandlers([
                            ByteToMessageHandler(WireFrameDecoder()),
                            FrontHandler(
                                upstream: upstream, mechanism: mechanism, user: user, lifetime: lifetime, limit: limit,
                                counter: counter),
                        ])
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return SecureFront(channel, counter)
    }

    func stop() async throws {
        try await channel.close()
    }
}

/// The broker's replies. Its versions get those of SASL, which it does not have itself.
private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let client: any Channel
    private var addsSASL: Bool

    init(client: any Channel, addsSASL: Bool) {
        self.client = client
        self.addsSASL = addsSASL
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var frame = unwrapInboundIn(data)
        if addsSASL {
            addsSASL = false
            frame = adding(to: frame)
        }
        client.writeAndFlush(frame, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        client.close(promise: nil)
    }

    private func adding(to frame: ByteBuffer) -> ByteBuffer {
        let correlation = frame.getInteger(at: 4, as: Int32.self)!
        var response: ApiVersionsResponse = WireFrame.decoded(frame, from: 8) {
            span, cursor throws(ProtocolDecodingError) in
            try ApiVersionsResponse(from: span, at: &cursor, version: 3)
        }
        response.offer([.saslHandshake: 1, .saslAuthenticate: 2])
        var writer = ByteWriter()
        response.encode(to: &writer, version: 3)
        return WireFrame.reply(correlation, writer)
    }
}

/// The client's requests: those of SASL are answered here, and others passed on once it is known who asks.
private final class FrontHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let upstream: any Channel
    private let mechanism: String
    private let user: SecureFront.User?
    private var scram: ScramServer?
    private var isKnown: Bool
    private let lifetime: Duration?
    private let limit: Int
    private let counter: SecureFront.Counter
    private var expiry: ContinuousClock.Instant?
    private var authentications = 0
    /// A slow machine's timers are late.
    private static let grace: Duration = .seconds(5)

    init(
        upstream: any Channel, mechanism: String, user: SecureFront.User?, lifetime: Duration?, limit: Int,
        counter: SecureFront.Counter
    ) {
        self.lifetime = lifetime
        self.limit = limit
        self.counter = counter
        counter.counts.withLock { $0.connections += 1 }
        self.upstream = upstream
        self.mechanism = mechanism
        self.user = user
        isKnown = user == nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        upstream.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        let key = frame.getInteger(at: 4, as: Int16.self)!
        let version = frame.getInteger(at: 6, as: Int16.self)!
        let correlation = frame.getInteger(at: 8, as: Int32.self)!
        switch ApiKey(rawValue: key) {
        case .saslHandshake:
            let asked: SaslHandshakeRequest = WireFrame.request(in: frame, version)
            var response = SaslHandshakeResponse()
            response.mechanisms = [mechanism]
            // Until that is over, nothing else may come.
            if user != nil { isKnown = false }
            scram = nil
            if asked.mechanism != mechanism { response.errorCode = ErrorCode.unsupportedSaslMechanism.rawValue }
            var writer = ByteWriter()
            response.encode(to: &writer, version: version)
            context.writeAndFlush(wrapOutboundOut(WireFrame.reply(correlation, writer)), promise: nil)
        case .saslAuthenticate:
            let asked: SaslAuthenticateRequest = WireFrame.request(in: frame, version)
            var response = SaslAuthenticateResponse()
            if let bytes = authenticate(asked.authBytes) {
                response.authBytes = bytes
                if isKnown, let lifetime {
                    expiry = .now + lifetime + Self.grace
                    response.sessionLifetimeMs = lifetime.milliseconds
                }
            } else {
                response.errorCode = ErrorCode.saslAuthenticationFailed.rawValue
                response.errorMessage = "Authentication failed: Invalid username or password"
            }
            var writer = ByteWriter()
            response.encode(to: &writer, version: version)
            context.writeAndFlush(
                wrapOutboundOut(WireFrame.reply(correlation, writer, flexible: version >= 2)), promise: nil)
        case .apiVersions:
            upstream.writeAndFlush(frame, promise: nil)
        default:
            guard isKnown, expiry.map({ $0 > .now }) ?? true else { return context.close(promise: nil) }
            upstream.writeAndFlush(frame, promise: nil)
        }
    }

    private func authenticate(_ message: [UInt8]) -> [UInt8]? {
        guard let user, authentications < limit else { return nil }
        defer {
            if isKnown {
                authentications += 1
                counter.counts.withLock { $0.authentications += 1 }
            }
        }
        if mechanism == "PLAIN" {
            isKnown = message == [0] + Array(user.name.utf8) + [0] + Array(user.password.utf8)
            return isKnown ? [] : nil
        }
        if scram == nil {
            scram = ScramServer(user: user, isLong: mechanism.hasSuffix("512"))
            return scram!.first(String(decoding: message, as: UTF8.self)).map { Array($0.utf8) }
        }
        guard let last = scram!.last(String(decoding: message, as: UTF8.self)) else { return nil }
        isKnown = true
        return Array(last.utf8)
    }
}

/// The server's side of SCRAM, as RFC 5802 has it: it keeps no password, only what checks one.
private struct ScramServer {
    private let name: String
    private let isLong: Bool
    private let storedKey: Data
    private let serverKey: Data
    private let salt = Data("a grain of salt".utf8)
    private var exchange = ""
    private var nonce = ""

    init(user: SecureFront.User, isLong: Bool) {
        name = user.name
        self.isLong = isLong
        var block = Self.mac(Data(user.password.utf8), salt + [0, 0, 0, 1], isLong)
        var salted = block
        for _ in 1..<4096 {
            block = Self.mac(Data(user.password.utf8), block, isLong)
            salted = Data(zip(salted, block).map { $0 ^ $1 })
        }
        storedKey = Self.hash(Self.mac(salted, Data("Client Key".utf8), isLong), isLong)
        serverKey = Self.mac(salted, Data("Server Key".utf8), isLong)
    }

    mutating func first(_ message: String) -> String? {
        guard message.hasPrefix("n,,n=\(name),r=") else { return nil }
        let bare = String(message.dropFirst(3))
        nonce = bare.components(separatedBy: "r=").last! + "server"
        let answer = "r=\(nonce),s=\(salt.base64EncodedString()),i=4096"
        exchange = "\(bare),\(answer)"
        return answer
    }

    func last(_ message: String) -> String? {
        let parts = message.components(separatedBy: ",p=")
        guard parts.count == 2, parts[0] == "c=biws,r=\(nonce)", let proof = Data(base64Encoded: parts[1]) else {
            return nil
        }
        let whole = Data("\(exchange),\(parts[0])".utf8)
        let clientKey = Data(zip(proof, Self.mac(storedKey, whole, isLong)).map { $0 ^ $1 })
        guard Self.hash(clientKey, isLong) == storedKey else { return nil }
        return "v=\(Self.mac(serverKey, whole, isLong).base64EncodedString())"
    }

    private static func mac(_ key: Data, _ message: Data, _ isLong: Bool) -> Data {
        let key = SymmetricKey(data: key)
        return isLong
            ? Data(HMAC<SHA512>.authenticationCode(for: message, using: key))
            : Data(HMAC<SHA256>.authenticationCode(for: message, using: key))
    }

    private static func hash(_ message: Data, _ isLong: Bool) -> Data {
        isLong ? Data(SHA512.hash(data: message)) : Data(SHA256.hash(data: message))
    }
}
