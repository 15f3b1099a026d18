/// How an admin client works. Kafka's names stand with each setting; defaults are Kafka's unless it says otherwise.
public struct AdminConfiguration: Sendable {
    /// Brokers to ask for the cluster's others (`bootstrap.servers`).
    public var bootstrapServers: [BrokerAddress]
    /// How the broker's logs and quotas call this client (`client.id`).
    public var clientId = "martlet"
    /// TLS and SASL (`security.protocol` and what goes with it).
    public var security = ClientSecurity()
    /// How long a broker may take to answer one request (`request.timeout.ms`).
    public var requestTimeout: Duration = .seconds(30)
    /// How long a call may take in all, with its retries (`default.api.timeout.ms`).
    public var operationTimeout: Duration = .seconds(60)
    /// How long one address may take to accept a connection (`socket.connection.setup.timeout.ms`, Kafka: 10 s).
    public var connectTimeout: Duration = .seconds(5)
    /// The pause before the first retry; each further one doubles it, by chance a fifth more or less
    /// (`retry.backoff.ms`).
    public var retryBackoff: Duration = .milliseconds(100)
    /// The longest pause before a retry (`retry.backoff.max.ms`).
    public var maximumRetryBackoff: Duration = .seconds(1)

    /// An admin client of the cluster to which `bootstrapServers` belong.
    public init(bootstrapServers: [BrokerAddress]) {
        self.bootstrapServers = bootstrapServers
    }

    func options() throws(ClientError) -> ClientOptions {
        let rules: [(Bool, String)] = [
            (!bootstrapServers.isEmpty, "bootstrapServers must name at least one broker"),
            (
                requestTimeout > .zero && connectTimeout > .zero && operationTimeout > .zero,
                "time-outs must be positive"
            ),
            (retryBackoff > .zero && maximumRetryBackoff >= retryBackoff, "maximumRetryBackoff is below retryBackoff"),
        ]
        if let (_, broken) = rules.first(where: { !$0.0 }) { throw ClientError(.invalidArgument, broken) }
        return try ClientOptions(
            clientId: clientId, security: security, connectTimeout: connectTimeout,
            requestTimeout: requestTimeout, operationTimeout: operationTimeout,
            backoff: Backoff(initial: retryBackoff, maximum: maximumRetryBackoff))
    }
}
