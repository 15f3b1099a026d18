import KafkaProtocol

/// How long a client sends nothing more on a connection after a reply that says that a quota is exceeded (KIP-219). Brokers
/// that speak older versions hold the reply back themselves.
enum ClientThrottle {
    /// The first version of each request after whose reply the client is the one to wait.
    private static let firstVersions: [ApiKey: Int16] = [.produce: 6, .fetch: 8]

    static func duration<Request: ProtocolRequest>(
        _ throttleTimeMs: Int32, of request: Request.Type, version: Int16
    ) -> Duration {
        guard throttleTimeMs > 0, let first = firstVersions[Request.apiKey], version >= first else { return .zero }
        return .milliseconds(throttleTimeMs)
    }
}
