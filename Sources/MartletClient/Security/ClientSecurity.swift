/// How connections to brokers are protected, and who the client is (`security.protocol`): neither TLS nor SASL is
/// PLAINTEXT, TLS alone SSL, SASL alone SASL_PLAINTEXT, both SASL_SSL.
public struct ClientSecurity: Sendable {
    /// nil: connections are not encrypted.
    public var tls: ClientTLS?
    /// nil: the client says no name.
    public var credentials: SASLCredentials?

    /// What each connection has to do before its first request.
    public init(tls: ClientTLS? = nil, credentials: SASLCredentials? = nil) {
        self.tls = tls
        self.credentials = credentials
    }
}

/// What TLS checks and shows. Files are read once, when the client is made.
public struct ClientTLS: Sendable {
    /// Whose signature on a broker's certificate counts.
    public enum TrustRoots: Sendable {
        /// The authorities that the operating system trusts.
        case system
        /// Those in a PEM file (`ssl.truststore.location` with type PEM, `ssl.ca.location`).
        case file(String)
        /// Those in a PEM text (`ssl.truststore.certificates`).
        case pem(String)
    }

    /// What is asked of a broker's certificate.
    public enum Verification: Sendable {
        /// That a trusted authority signed it, and that it names the broker's host.
        case full
        /// That a trusted authority signed it (an empty `ssl.endpoint.identification.algorithm`).
        case withoutHostName
        /// Nothing: whoever sits on the line can read and change everything. For tests.
        case none
    }

    /// Who may sign brokers' certificates.
    public var trustRoots: TrustRoots
    /// What a broker's certificate must show.
    public var verification: Verification
    /// A PEM file with the client's certificate and those between it and the authority
    /// (`ssl.certificate.location`), for brokers that ask for one.
    public var certificateFile: String?
    /// A PEM file with the key of that certificate (`ssl.key.location`).
    public var privateKeyFile: String?

    /// TLS 1.2 or newer, with the system's authorities and full verification unless said otherwise.
    public init(
        trustRoots: TrustRoots = .system, verification: Verification = .full, certificateFile: String? = nil,
        privateKeyFile: String? = nil
    ) {
        self.trustRoots = trustRoots
        self.verification = verification
        self.certificateFile = certificateFile
        self.privateKeyFile = privateKeyFile
    }
}

/// A name and its password, and how they are proven to a broker: when a connection is opened, and on the same connection
/// again where the broker limits for how long that counts (`connections.max.reauth.ms`, KIP-368).
public struct SASLCredentials: Sendable, CustomStringConvertible {
    /// `sasl.mechanism`.
    public enum Mechanism: String, Sendable, CaseIterable {
        /// The password goes over the line as it is; use it over TLS only (RFC 4616).
        case plain = "PLAIN"
        /// The password stays here, and the broker proves that it knows it too (RFC 5802, 7677; KIP-84).
        case scramSHA256 = "SCRAM-SHA-256"
        /// The same with the longer hash.
        case scramSHA512 = "SCRAM-SHA-512"
    }

    /// How the password is proven.
    public var mechanism: Mechanism
    /// Who connects.
    public var userName: String
    /// The secret that goes with the name.
    public var password: String

    /// The credentials of one user.
    public init(_ mechanism: Mechanism, userName: String, password: String) {
        self.mechanism = mechanism
        self.userName = userName
        self.password = password
    }

    /// The mechanism and the name, never the password.
    public var description: String { "\(mechanism.rawValue) user '\(userName)'" }
}
