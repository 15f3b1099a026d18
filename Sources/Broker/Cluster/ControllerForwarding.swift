import KafkaProtocol

/// Passes requests on that only the controller can carry out, so that clients may ask any node, as with Kafka.
enum ControllerForwarding {
    /// Beyond the time that the controller needs for the largest change.
    private static let timeoutMilliseconds: Int64 = 30_000

    /// Whether another node is the controller. Without any, this node answers that it is not.
    static func isNeeded(_ connection: Connection) -> Bool {
        let broker = connection.loop.broker
        guard broker.isClustered, !broker.isController else { return false }
        let controller = broker.cluster.image.controllerId
        return controller >= 0 && controller != broker.cluster.nodeId
    }

    /// The request goes on in the name of a broker, so that nobody passes it on again; `body` is where it begins.
    static func forward(
        _ frame: UnsafeRawBufferPointer, _ header: RequestHeader, body: Int, from connection: Connection
    ) {
        let loop = connection.loop
        let broker = loop.broker
        let flexible = ApiKey(rawValue: header.apiKey).map { header.apiVersion >= $0.firstFlexibleVersion } ?? false
        var writer = ByteWriter()
        writer.write(header.apiKey)
        writer.write(header.apiVersion)
        writer.write(Int32(0))  // the channel's to set
        writer.nullableString(Peers.forwardingClientId, flexible: false)
        if flexible { writer.noTaggedFields() }
        writer.bytes.append(contentsOf: frame[body...])
        let slot = connection.reserve(.elsewhere)
        let id = connection.id
        let correlationId = header.correlationId
        broker.peers.send(
            to: broker.cluster.image.controllerId, writer.bytes, timeoutMilliseconds: timeoutMilliseconds
        ) { outcome in
            var buffer = ReplyBuffer()
            switch outcome {
            case .reply(let bytes):
                // The frame is the client's but for its correlation id.
                buffer.writer.write(Int32(bytes.count))
                buffer.writer.write(correlationId)
                buffer.writer.bytes.append(contentsOf: bytes.dropFirst(4))
            case .failed(let failure):
                broker.logger.warning("controller.not-reached", metadata: ["error": "\(failure)"])
            }
            let finished = buffer
            loop.port.execute {
                loop.beginTick()
                guard let connection = loop.connection(id) else { return }
                if finished.isEmpty {
                    // A client takes the end of its connection for what it is: an outcome that is not known.
                    connection.close(because: "the controller could not be reached")
                } else {
                    connection.complete(slot, with: finished)
                }
            }
        }
    }
}
