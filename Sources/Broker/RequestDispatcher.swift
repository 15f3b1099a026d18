import KafkaProtocol
import Logging

/// What became of a request.
package enum RequestOutcome {
    case done
    /// It waits for an answer from elsewhere: the same frame must be handled again when its connection takes requests.
    case again
}

/// Takes a frame apart as far as its header and gives it to the API's handler.
package enum RequestDispatcher {
    /// Handles one request. The frame is what follows its length, and its bytes must stay where they are until the
    /// loop's tick ends, because batches are written from there.
    package static func handle(_ frame: UnsafeRawBufferPointer, from connection: Connection) -> RequestOutcome {
        guard !connection.isClosed else { return .done }
        // Also frees the frame's memory when the tick ends.
        connection.loop.touch(connection)
        let bytes = RawSpan(_unsafeBytes: frame)
        var cursor = ByteCursor()
        do {
            var header = try RequestHeader(bytes, at: &cursor)
            guard let entry = SupportedApis.entry(for: header.apiKey) else {
                connection.close(because: "unknown API key \(header.apiKey)")
                return .done
            }
            let isSupported = entry.versions.contains(header.apiVersion)
            guard isSupported || entry.apiKey == .apiVersions else {
                connection.close(because: "\(entry.apiKey) version \(header.apiVersion) is not supported")
                return .done
            }
            guard isSupported else {
                // KIP-511: a client newer than the broker learns what there is from a version 0 reply.
                connection.loop.metrics.immediate(.apiVersions, error: .unsupportedVersion)
                ApiVersionsHandler.replyToUnsupportedVersion(header.correlationId, connection)
                return .done
            }
            let isFlexible = header.apiVersion >= entry.apiKey.firstFlexibleVersion
            try header.readRest(bytes, at: &cursor, isFlexible: isFlexible)
            switch entry.apiKey {
            case .produce:
                return try ProduceHandler.handle(frame, bytes, at: &cursor, header, from: connection)
            default:
                // What was produced before must be there for what is asked after.
                connection.loop.flushAppends()
                let clientId = header.clientId.map { String(decoding: frame[$0], as: UTF8.self) }
                if entry.isForController, clientId != Peers.clientId, clientId != Peers.forwardingClientId,
                    ControllerForwarding.isNeeded(connection)
                {
                    ControllerForwarding.forward(frame, header, body: cursor.position, from: connection)
                    return .done
                }
                let context = RequestContext(
                    broker: connection.loop.broker, loop: connection.loop, connection: connection,
                    apiKey: entry.apiKey, version: header.apiVersion, correlationId: header.correlationId,
                    clientId: clientId)
                try entry.run(bytes, &cursor, context)
            }
        } catch {
            connection.close(because: "malformed request: \(error)")
        }
        return .done
    }

    /// Writes a whole reply. A response header is flexible when the request's version is, but for ApiVersions, whose
    /// reader does not know yet what the broker speaks.
    static func encode<Response: ProtocolResponse>(
        _ response: Response, _ apiKey: ApiKey, _ version: Int16, _ correlationId: Int32,
        into buffer: inout ReplyBuffer
    ) {
        let flexibleHeader = version >= apiKey.firstFlexibleVersion && apiKey != .apiVersions
        let frame = buffer.beginFrame(correlationId: correlationId, flexibleHeader: flexibleHeader)
        response.encode(to: &buffer.writer, version: version)
        buffer.endFrame(frame)
    }
}
