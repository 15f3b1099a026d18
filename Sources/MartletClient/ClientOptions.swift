/// What connections of one client share.
package struct ClientOptions: Sendable {
    /// How the broker's logs and group descriptions call this client.
    package var clientId = "martlet"
    /// How long one address may take to accept a connection.
    package var connectTimeout: Duration = .seconds(5)
    /// How long one request may take.
    package var requestTimeout: Duration = .seconds(30)
    /// How long an operation may take in all, with its retries.
    package var operationTimeout: Duration = .seconds(60)
    /// A larger reply ends the connection.
    package var maximumReplyBytes = 100 << 20
    package var backoff = Backoff()
    /// nil: connections are neither encrypted nor authenticated.
    package var security: TransportSecurity?

    package init() {}

    /// What producers, consumers and admin clients are configured with alike. Throws `invalidArgument` when a file of TLS
    /// cannot be used.
    init(
        clientId: String, security: ClientSecurity, connectTimeout: Duration, requestTimeout: Duration,
        operationTimeout: Duration, backoff: Backoff
    ) throws(ClientError) {
        self.clientId = clientId
        self.security = try TransportSecurity(security)
        self.connectTimeout = connectTimeout
        self.requestTimeout = requestTimeout
        self.operationTimeout = operationTimeout
        self.backoff = backoff
    }
}
