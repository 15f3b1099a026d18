import Crypto
import KafkaProtocol

/// Says who the client is: before a connection's first other request, and again as often as the broker wants (KIP-43, 152
/// and 368).
struct SaslExchange {
    let credentials: SASLCredentials
    let connection: BrokerConnection
    /// For each request.
    let timeout: Duration

    /// For how long the broker takes the client for who it is; nil without a limit (KIP-368). Throws
    /// `authenticationFailed` when the broker refuses the credentials, or cannot prove that it knows them.
    func authenticate() async throws(ClientError) -> Duration? {
        var handshake = SaslHandshakeRequest()
        handshake.mechanism = credentials.mechanism.rawValue
        let offered = try await connection.sendAuthentication(handshake, timeout: timeout)
        switch ErrorCode(rawValue: offered.errorCode) {
        case .none: break
        case .unsupportedSaslMechanism:
            throw failed(
                "it does not take \(credentials.mechanism.rawValue)", .unsupportedSaslMechanism,
                nextStep: "it takes \(offered.mechanisms.joined(separator: ", "))")
        case let code:
            throw failed("\(code)", code, nextStep: "name a listener that asks for SASL, or connect without")
        }
        switch credentials.mechanism {
        case .plain:
            // The identity to act as is left out: it is the user's own (RFC 4616).
            return try await exchange(
                [0] + Array(credentials.userName.utf8) + [0] + Array(credentials.password.utf8)
            ).lifetime
        case .scramSHA256: return try await scram(SHA256.self)
        case .scramSHA512: return try await scram(SHA512.self)
        }
    }

    private func scram<Hash: HashFunction>(_ hash: Hash.Type) async throws(ClientError) -> Duration? {
        var scram = ScramClient<Hash>(
            userName: credentials.userName, password: credentials.password, nonce: Self.makeNonce())
        let first = try await exchange(Array(scram.firstMessage.utf8))
        let proof = try checked { () throws(ScramFailure) in
            try scram.finalMessage(replyTo: String(decoding: first.bytes, as: UTF8.self))
        }
        let last = try await exchange(Array(proof.utf8))
        try checked { () throws(ScramFailure) in try scram.verify(String(decoding: last.bytes, as: UTF8.self)) }
        return last.lifetime
    }

    private func checked<Value>(_ step: () throws(ScramFailure) -> Value) throws(ClientError) -> Value {
        do throws(ScramFailure) {
            return try step()
        } catch {
            throw failed(error.reason)
        }
    }

    /// 144 bits from the system's generator.
    private static func makeNonce() -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var generator = SystemRandomNumberGenerator()
        return String((0..<24).map { _ in alphabet.randomElement(using: &generator)! })
    }

    private func exchange(
        _ message: [UInt8]
    ) async throws(ClientError) -> (bytes: [UInt8], lifetime: Duration?) {
        var request = SaslAuthenticateRequest()
        request.authBytes = message
        let response = try await connection.sendAuthentication(request, timeout: timeout)
        let code = ErrorCode(rawValue: response.errorCode)
        guard code == .none else {
            throw failed(response.errorMessage ?? "\(code)", code, nextStep: "check the name and the password")
        }
        let lifetime = response.sessionLifetimeMs
        return (response.authBytes, lifetime > 0 ? .milliseconds(lifetime) : nil)
    }

    private func failed(_ reason: String, _ code: ErrorCode? = nil, nextStep: String? = nil) -> ClientError {
        ClientError(
            .authenticationFailed, "\(connection.address) did not accept \(credentials): \(reason)", nextStep: nextStep,
            protocolCode: code)
    }
}
