import KafkaProtocol
import NIOCore
import NIOPosix
import Synchronization

/// The only broker of a cluster with one topic, `t`. It answers ApiVersions and Metadata by itself, and the rest as it is
/// told: for what real brokers do rarely.
final class ScriptedBroker: Sendable {
    struct Request: Sendable {
        let key: ApiKey
        let version: Int16
        let frame: ByteBuffer
    }

    enum Answer: Sendable {
        case reply(ByteWriter, flexible: Bool)
        /// Nothing more is read from the connection.
        case stopReading
        case nothing

        static func reply<Asked: ProtocolRequest>(
            to: Asked.Type, _ request: Request, _ response: Asked.Response
        ) -> Answer {
            var writer = ByteWriter()
            response.encode(to: &writer, version: request.version)
            return .reply(writer, flexible: request.version >= Asked.firstFlexibleVersion)
        }
    }

    private let channel: any Channel
    let port: Int

    private init(_ channel: any Channel) {
        self.channel = channel
        port = channel.localAddress!.port!
    }

    /// `versions` are the highest ones that it knows beside those that it answers itself.
    static func start(
        partitions: Int32 = 1, versions: [ApiKey: Int16],
        _ answer: @escaping @Sendable (Request) -> Answer
    ) async throws -> ScriptedBroker {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.socketOption(.so_rcvbuf), value: 4096)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        ByteToMessageHandler(WireFrameDecoder()),
                        Handler(partitions: partitions, versions: versions, answer: answer),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return ScriptedBroker(channel)
    }

    func stop() async throws {
        try await channel.close()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let partitions: Int32
        private let versions: [ApiKey: Int16]
        private let answer: @Sendable (Request) -> Answer

        init(partitions: Int32, versions: [ApiKey: Int16], answer: @escaping @Sendable (Request) -> Answer) {
            self.partitions = partitions
            self.versions = versions
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            let key = ApiKey(rawValue: frame.getInteger(at: 4, as: Int16.self)!)!
            let request = Request(key: key, version: frame.getInteger(at: 6, as: Int16.self)!, frame: frame)
            let decision =
                switch key {
                case .apiVersions: apiVersions(request)
                case .metadata: metadata(request, port: Int32(context.localAddress!.port!))
                default: answer(request)
                }
            switch decision {
            case .reply(let writer, let flexible):
                let correlation = frame.getInteger(at: 8, as: Int32.self)!
                context.writeAndFlush(
                    wrapOutboundOut(WireFrame.reply(correlation, writer, flexible: flexible)), promise: nil)
            case .stopReading: context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
            case .nothing: break
            }
        }

        private func apiVersions(_ request: Request) -> Answer {
            var response = ApiVersionsResponse()
            response.offer(versions.merging([.apiVersions: 3, .metadata: 9], uniquingKeysWith: { first, _ in first }))
            var writer = ByteWriter()
            response.encode(to: &writer, version: 3)
            return .reply(writer, flexible: false)
        }

        private func metadata(_ request: Request, port: Int32) -> Answer {
            var broker = MetadataResponse.MetadataResponseBroker()
            broker.nodeId = 1
            broker.host = "127.0.0.1"
            broker.port = port
            var topic = MetadataResponse.MetadataResponseTopic()
            topic.name = "t"
            topic.partitions = (0..<partitions).map { index in
                var partition = MetadataResponse.MetadataResponsePartition()
                partition.partitionIndex = index
                partition.leaderId = 1
                partition.replicaNodes = [1]
                partition.isrNodes = [1]
                return partition
            }
            var response = MetadataResponse()
            response.brokers = [broker]
            response.controllerId = 1
            response.topics = [topic]
            return .reply(to: MetadataRequest.self, request, response)
        }
    }
}
