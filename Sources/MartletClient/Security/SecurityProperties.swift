extension ClientSecurity {
    /// The names that `init(properties:)` knows.
    public static let propertyNames = [
        "security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location",
        "ssl.certificate.location", "ssl.key.location", "ssl.endpoint.identification.algorithm",
    ]

    /// From properties with the names that librdkafka's clients use, as they stand in a file for a command line:
    /// `security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password`, `ssl.ca.location`,
    /// `ssl.certificate.location`, `ssl.key.location`, `ssl.endpoint.identification.algorithm` (`https` or `none`).
    /// Throws `invalidArgument` for a name or value that is none of them, and for what contradicts itself.
    public init(properties: [String: String]) throws(ClientError) {
        if let unknown = properties.keys.sorted().first(where: { !Self.propertyNames.contains($0) }) {
            throw ClientError(
                .invalidArgument, "'\(unknown)' is not a property of a connection's security",
                nextStep: "there are \(Self.propertyNames.joined(separator: ", "))")
        }
        let name = properties["security.protocol"] ?? "PLAINTEXT"
        let parts: (tls: Bool, sasl: Bool)
        switch name.uppercased() {
        case "PLAINTEXT": parts = (false, false)
        case "SSL": parts = (true, false)
        case "SASL_PLAINTEXT": parts = (false, true)
        case "SASL_SSL": parts = (true, true)
        default:
            throw ClientError(
                .invalidArgument, "security.protocol has no value '\(name)'",
                nextStep: "choose PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
        }
        let unused = properties.keys.sorted().first {
            ($0.hasPrefix("ssl.") && !parts.tls) || ($0.hasPrefix("sasl.") && !parts.sasl)
        }
        if let unused {
            throw ClientError(
                .invalidArgument, "'\(unused)' has no effect with security.protocol=\(name.uppercased())",
                nextStep: "set security.protocol to \(unused.hasPrefix("ssl.") ? "SSL or SASL_SSL" : "SASL_SSL")")
        }
        self.init()
        if parts.tls { tls = try Self.tls(properties) }
        if parts.sasl { credentials = try Self.credentials(properties) }
    }

    private static func tls(_ properties: [String: String]) throws(ClientError) -> ClientTLS {
        var tls = ClientTLS()
        if let file = properties["ssl.ca.location"] { tls.trustRoots = .file(file) }
        tls.certificateFile = properties["ssl.certificate.location"]
        tls.privateKeyFile = properties["ssl.key.location"]
        switch properties["ssl.endpoint.identification.algorithm"] {
        case nil, "https": tls.verification = .full
        case "none", "": tls.verification = .withoutHostName
        case let other?:
            throw ClientError(
                .invalidArgument, "ssl.endpoint.identification.algorithm has no value '\(other)'",
                nextStep: "choose https or none")
        }
        return tls
    }

    private static func credentials(_ properties: [String: String]) throws(ClientError) -> SASLCredentials {
        let name = properties["sasl.mechanism"] ?? ""
        guard let mechanism = SASLCredentials.Mechanism(rawValue: name.uppercased()) else {
            let known = SASLCredentials.Mechanism.allCases.map(\.rawValue).joined(separator: ", ")
            throw ClientError(
                .invalidArgument, "sasl.mechanism has no value '\(name)'", nextStep: "choose one of \(known)")
        }
        guard let user = properties["sasl.username"], let password = properties["sasl.password"] else {
            throw ClientError(.invalidArgument, "sasl.username and sasl.password are needed with \(mechanism.rawValue)")
        }
        return SASLCredentials(mechanism, userName: user, password: password)
    }
}
