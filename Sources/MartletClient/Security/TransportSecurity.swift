import NIOCore
import NIOSSL

/// A client's security, made ready: its files are read.
package struct TransportSecurity: Sendable {
    let context: NIOSSLContext?
    let verifiesHostName: Bool
    let credentials: SASLCredentials?

    /// Throws `invalidArgument` when a file cannot be used.
    package init(_ security: ClientSecurity) throws(ClientError) {
        credentials = security.credentials
        verifiesHostName = security.tls?.verification == .full
        context = try security.tls.map { tls throws(ClientError) in try Self.context(tls) }
    }

    private static func context(_ tls: ClientTLS) throws(ClientError) -> NIOSSLContext {
        guard (tls.certificateFile == nil) == (tls.privateKeyFile == nil) else {
            throw ClientError(.invalidArgument, "a certificate needs its private key, and a key its certificate")
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        switch tls.verification {
        case .full: configuration.certificateVerification = .fullVerification
        case .withoutHostName: configuration.certificateVerification = .noHostnameVerification
        case .none: configuration.certificateVerification = .none
        }
        do {
            switch tls.trustRoots {
            case .system: configuration.trustRoots = .default
            case .file(let file):
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            case .pem(let text):
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(text.utf8)))
            }
            if let certificate = tls.certificateFile, let key = tls.privateKeyFile {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map {
                    .certificate($0)
                }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            let files = [tls.certificateFile, tls.privateKeyFile].compactMap { $0 }
            let roots = if case .file(let file) = tls.trustRoots { [file] } else { [String]() }
            throw ClientError(
                .invalidArgument, "TLS cannot be prepared (\(error))",
                nextStep: "check that these are readable PEM files: \((roots + files).joined(separator: ", "))")
        }
    }

    /// The first handler of a connection to `host`; nil without TLS.
    func handler(host: String) throws -> NIOSSLClientHandler? {
        guard let context else { return nil }
        // An address is not a name that a client may announce (RFC 6066); a certificate may name it nevertheless.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }

    private static func isEndOfStream(_ text: String) -> Bool {
        text.contains("EOF during handshake") || text.contains("EOF during additional")
    }

    /// What TLS met, where it did.
    static func reason(_ error: any Error, _ address: BrokerAddress) -> ClientError? {
        switch error {
        case NIOSSLError.handshakeFailed(.sslError(let stack)) where !isEndOfStream("\(stack)"):
            let text = "\(stack)"
            if text.contains("CERTIFICATE_VERIFY_FAILED") {
                return ClientError(
                    .authenticationFailed, "\(address) shows a certificate that is not trusted",
                    nextStep: "name the authority that signed it as trust root (ssl.ca.location)")
            }
            if text.contains("WRONG_VERSION_NUMBER") {
                return ClientError(
                    .authenticationFailed, "\(address) does not speak TLS",
                    nextStep: "name the listener with TLS, or connect without")
            }
            return ClientError(
                .authenticationFailed, "TLS with \(address) failed (\(text))",
                nextStep: "the broker's log says why, if it was the broker who refused")
        case is NIOSSLExtraError:
            return ClientError(
                .authenticationFailed, "the certificate of \(address) does not name that host (\(error))",
                nextStep: "connect with a name that its certificate has")
        // With TLS 1.3 a broker judges the client's certificate when the client has done its part already.
        case let error as BoringSSLError where "\(error)".contains("ALERT") || "\(error)".contains("CERTIFICATE"):
            return ClientError(
                .authenticationFailed, "\(address) ended TLS (\(error))",
                nextStep: "check the client's certificate (ssl.certificate.location); the broker's log says why")
        // Ended in the middle of a handshake, as a proxy does while its broker is away: that passes.
        case let error as NIOSSLError:
            return ClientError(.connectionLost, "TLS with \(address) ended (\(error))")
        default:
            return nil
        }
    }
}
