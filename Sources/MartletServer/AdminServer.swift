import Broker
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix

/// The HTTP side: `/metrics` for Prometheus and `/health` for supervisors.
final class AdminServer: Sendable {
    private let group: any EventLoopGroup
    private let broker: Broker
    private let health: @Sendable () -> NodeHealth

    init(group: any EventLoopGroup, broker: Broker, health: @escaping @Sendable () -> NodeHealth) {
        self.group = group
        self.broker = broker
        self.health = health
    }

    /// Listens; returns the channel.
    func listen(host: String, port: Int) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(AdminHandler(server: self))
                }
            }
            .bind(host: host, port: port).get()
    }

    fileprivate struct Answer {
        var status: HTTPResponseStatus
        var contentType = "text/plain; charset=utf-8"
        var body: String
    }

    fileprivate func answer(_ head: HTTPRequestHead) -> Answer {
        guard head.method == .GET || head.method == .HEAD else {
            return Answer(status: .methodNotAllowed, body: "Only GET and HEAD.\n")
        }
        switch head.uri.split(separator: "?", omittingEmptySubsequences: false)[0] {
        case "/metrics":
            return Answer(
                status: .ok, contentType: "text/plain; version=0.0.4; charset=utf-8",
                body: MetricsPage.render(broker))
        case "/health":
            switch health() {
            case .ready: return Answer(status: .ok, body: "ready\n")
            case .notReady(let reason): return Answer(status: .serviceUnavailable, body: "not ready: \(reason)\n")
            }
        default:
            return Answer(status: .notFound, body: "There are /metrics and /health.\n")
        }
    }
}

/// Whether the node does its work, or why not.
package enum NodeHealth: Sendable, Equatable {
    case ready
    case notReady(String)
}

private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: AdminServer
    private var head: HTTPRequestHead?

    init(server: AdminServer) {
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head = head.take() else { return }
            let answer = server.answer(head)
            let body = context.channel.allocator.buffer(string: answer.body)
            var response = HTTPResponseHead(version: head.version, status: answer.status)
            response.headers.add(name: "content-type", value: answer.contentType)
            response.headers.add(name: "content-length", value: "\(body.readableBytes)")
            context.write(wrapOutboundOut(.head(response)), promise: nil)
            if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
            let channel = context.channel
            let written = context.eventLoop.makePromise(of: Void.self)
            if !head.isKeepAlive { written.futureResult.whenComplete { _ in channel.close(promise: nil) } }
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
        }
    }
}
