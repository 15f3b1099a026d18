import ClusterMetadata
import Logging

/// Where etcd is, and how this node talks to it.
package struct EtcdConfiguration: Sendable {
    /// Members of one etcd cluster, as `http://host:port`, `https://host:port` or `host:port`; where one fails, the next
    /// is asked. Without a scheme it is TLS when one of the files below is given.
    package var endpoints: [String]
    /// Stands before every key, so that several clusters can share one etcd.
    package var keyPrefix = "martlet/"
    /// With a password, etcd's own authentication is used.
    package var username: String?
    package var password: String?
    /// A PEM file with the authorities that may vouch for etcd; without it, those of the system.
    package var authorityFile: String?
    /// PEM files with this node's certificate chain and its key, for an etcd that asks its clients for one.
    package var certificateFile: String?
    package var keyFile: String?
    /// How long a call may take, with everything that is tried in it.
    package var requestTimeout: Duration = .seconds(5)
    package var logger: Logger

    package init(endpoints: [String], logger: Logger = Logger(label: "martlet.etcd")) {
        self.endpoints = endpoints
        self.logger = logger
    }

    var usesTLSByDefault: Bool { authorityFile != nil || certificateFile != nil }

    /// The endpoints taken apart, or what is wrong with the configuration.
    func checkedEndpoints() throws(MetadataStoreError) -> [EtcdEndpoint] {
        guard !endpoints.isEmpty else { throw .unavailable("no etcd endpoint is configured") }
        guard (certificateFile == nil) == (keyFile == nil) else {
            throw .unavailable("a certificate for etcd needs its key, and a key its certificate")
        }
        guard (username == nil) == (password == nil) else {
            throw .unavailable("a user name for etcd needs its password, and a password its user name")
        }
        guard requestTimeout > .zero else { throw .unavailable("the request timeout for etcd must be above zero") }
        var result: [EtcdEndpoint] = []
        for text in endpoints {
            guard let endpoint = EtcdEndpoint(text, usesTLSByDefault: usesTLSByDefault) else {
                throw .unavailable("'\(text)' is no etcd endpoint, such as http://127.0.0.1:2379")
            }
            result.append(endpoint)
        }
        return result
    }
}

/// One member's address for clients.
struct EtcdEndpoint: Sendable, Equatable {
    /// A name or an address; one of IPv6 without its brackets.
    var host: String
    var port: Int
    var usesTLS: Bool

    init?(_ text: String, usesTLSByDefault: Bool) {
        var rest = Substring(text)
        usesTLS = usesTLSByDefault
        for (scheme, isSecure) in [("http://", false), ("https://", true)] where text.hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            usesTLS = isSecure
        }
        if rest.last == "/" { rest.removeLast() }
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = rest[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains("/"), !host.contains("@") else { return nil }
        self.host = String(host)
        self.port = Int(port)
    }
}
