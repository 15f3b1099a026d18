import ClusterMetadata
import KafkaProtocol
import Synchronization

/// Asks other nodes, over one channel each for requests of the control plane. Fetches of followers have channels of
/// their own.
final class Peers: Sendable {
    /// What a broker calls itself when it asks another,
    static let clientId = "martlet-broker"
    /// and when it passes on what a client asked.
    static let forwardingClientId = "martlet-broker-forwarding"

    private struct Known {
        var endpoint: BrokerEndpoint
        var channel: any PeerChannel
    }

    private unowned let broker: Broker
    private let network: any PeerNetwork
    private let channels = Mutex<[Line: Known]>([:])

    /// Replies come in order, so that what may wait long has a channel of its own.
    enum Purpose: Hashable, Sendable {
        /// What the controller does, which waits for the metadata store.
        case control
        /// What a client's produce request may wait for.
        case transactions
    }

    private struct Line: Hashable {
        var nodeId: Int32
        var purpose: Purpose
    }

    init(broker: Broker, network: any PeerNetwork) {
        self.broker = broker
        self.network = network
    }

    /// Where the other nodes reach a node; nil when it is not there.
    func endpoint(of nodeId: Int32) -> BrokerEndpoint? {
        broker.cluster.image.brokers[nodeId]?.endpoint(on: broker.interBrokerListener).map {
            BrokerEndpoint(host: $0.host, port: $0.port)
        }
    }

    /// A channel of the caller's own; nil when the node is not there.
    func channel(to nodeId: Int32) -> (any PeerChannel)? {
        endpoint(of: nodeId).map { network.channel(to: $0) }
    }

    func ask<Request: ProtocolRequest>(
        _ nodeId: Int32, _ request: Request, version: Int16 = Request.validVersions.upperBound,
        over purpose: Purpose = .control, timeoutMilliseconds: Int64,
        _ completion: @escaping @Sendable (Result<Request.Response, PeerFailure>) -> Void
    ) where Request.Response: ProtocolResponse {
        send(
            to: nodeId, Peers.frame(request, version: version), over: purpose, timeoutMilliseconds: timeoutMilliseconds
        ) { outcome in
            completion(Peers.decode(Request.Response.self, outcome, version: version))
        }
    }

    /// Sends a whole request, as a client made it.
    func send(
        to nodeId: Int32, _ frame: [UInt8], over purpose: Purpose = .control, timeoutMilliseconds: Int64,
        _ completion: @escaping @Sendable (PeerOutcome) -> Void
    ) {
        guard let endpoint = endpoint(of: nodeId) else {
            completion(.failed(.notSent("broker \(nodeId) is not there")))
            return
        }
        let (channel, outdated) = channels.withLock { channels -> (any PeerChannel, (any PeerChannel)?) in
            let line = Line(nodeId: nodeId, purpose: purpose)
            if let known = channels[line], known.endpoint == endpoint { return (known.channel, nil) }
            let outdated = channels[line]?.channel
            let channel = network.channel(to: endpoint)
            channels[line] = Known(endpoint: endpoint, channel: channel)
            return (channel, outdated)
        }
        outdated?.close()
        channel.send(frame, timeoutMilliseconds: timeoutMilliseconds, completion)
    }

    func close() {
        let closing = channels.withLock { channels in
            defer { channels.removeAll() }
            return channels.values.map(\.channel)
        }
        for channel in closing { channel.close() }
    }

    // MARK: Frames

    static func frame<Request: ProtocolRequest>(_ request: Request, version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Request.apiKey.rawValue)
        writer.write(version)
        writer.write(Int32(0))  // the channel's to set
        writer.nullableString(clientId, flexible: false)
        if version >= Request.firstFlexibleVersion { writer.noTaggedFields() }
        request.encode(to: &writer, version: version)
        return writer.bytes
    }

    static func decode<Response: ProtocolResponse>(
        _ type: Response.Type, _ outcome: PeerOutcome, version: Int16
    ) -> Result<Response, PeerFailure> {
        switch outcome {
        case .failed(let failure): return .failure(failure)
        case .reply(let bytes):
            do throws(ProtocolDecodingError) {
                let span = RawSpan(_unsafeBytes: bytes)
                var cursor = ByteCursor()
                _ = try cursor.int32(span)
                if version >= Response.apiKey.firstFlexibleVersion { try cursor.skipTaggedFields(span) }
                return .success(try Response(from: span, at: &cursor, version: version))
            } catch {
                return .failure(.noAnswer("the reply cannot be read: \(error)"))
            }
        }
    }
}
