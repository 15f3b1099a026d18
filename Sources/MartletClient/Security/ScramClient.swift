import Crypto
import Foundation

/// Why an exchange cannot go on, as half a sentence.
struct ScramFailure: Error {
    let reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}

/// The client's side of SCRAM (RFC 5802 with the hashes of RFC 7677), without its channel.
struct ScramClient<Hash: HashFunction> {
    /// What Kafka's brokers use at least; fewer would help whoever guesses passwords (RFC 7677).
    static var minimumIterations: Int { 4096 }
    /// So that a hostile peer does not keep the client computing.
    static var maximumIterations: Int { 1_000_000 }

    private let userName: String
    private let password: String
    private let nonce: String
    private var serverSignature: [UInt8] = []

    /// `nonce` is printable, without comma, and never used twice.
    init(userName: String, password: String, nonce: String) {
        self.userName = userName
        self.password = password
        self.nonce = nonce
    }

    private var firstMessageBare: String {
        let name = userName.replacing("=", with: "=3D").replacing(",", with: "=2C")
        return "n=\(name),r=\(nonce)"
    }

    /// No channel binding, no other identity; Kafka reads extensions that are not there as none.
    var firstMessage: String { "n,,\(firstMessageBare)" }

    /// The proof for the server's first message. Throws a reason.
    mutating func finalMessage(replyTo message: String) throws(ScramFailure) -> String {
        let fields = try Self.fields(message)
        guard let combined = fields["r"], combined.hasPrefix(nonce), combined.utf8.count > nonce.utf8.count else {
            throw ScramFailure("the broker answered with the nonce of another exchange")
        }
        guard let salt = fields["s"].flatMap({ Data(base64Encoded: $0) }), !salt.isEmpty else {
            throw ScramFailure("the broker sent no salt")
        }
        guard let iterations = fields["i"].flatMap({ Int($0) }),
            (Self.minimumIterations...Self.maximumIterations).contains(iterations)
        else { throw ScramFailure("the broker asks for '\(fields["i"] ?? "")' iterations") }
        let salted = SymmetricKey(data: saltedPassword(salt: Array(salt), iterations: iterations))
        let clientKey = Self.authenticate(Array("Client Key".utf8), salted)
        let withoutProof = "c=biws,r=\(combined)"
        let exchange = Array("\(firstMessageBare),\(message),\(withoutProof)".utf8)
        let clientSignature = Self.authenticate(exchange, SymmetricKey(data: Hash.hash(data: clientKey)))
        let proof = zip(clientKey, clientSignature).map { $0 ^ $1 }
        let serverKey = Self.authenticate(Array("Server Key".utf8), salted)
        serverSignature = Self.authenticate(exchange, SymmetricKey(data: serverKey))
        return "\(withoutProof),p=\(Data(proof).base64EncodedString())"
    }

    /// Throws unless the server has shown that it knows the password too.
    func verify(_ message: String) throws(ScramFailure) {
        let fields = try Self.fields(message)
        if let error = fields["e"] { throw ScramFailure("the broker refused the proof: \(error)") }
        guard let signature = fields["v"].flatMap({ Data(base64Encoded: $0) }), !serverSignature.isEmpty,
            Array(signature) == serverSignature
        else { throw ScramFailure("the broker does not know the password: it may be another than it says") }
    }

    private static func fields(_ message: String) throws(ScramFailure) -> [Character: String] {
        var fields: [Character: String] = [:]
        for part in message.split(separator: ",") {
            guard let name = part.first, part.dropFirst().first == "=" else {
                throw ScramFailure("the broker's message is not of SCRAM")
            }
            // An extension that must be understood, and is not.
            if name == "m" { throw ScramFailure("the broker asks for an extension of SCRAM") }
            fields[name] = String(part.dropFirst(2))
        }
        return fields
    }

    private static func authenticate(_ message: [UInt8], _ key: SymmetricKey) -> [UInt8] {
        Array(HMAC<Hash>.authenticationCode(for: message, using: key))
    }

    /// `Hi` of RFC 5802, which is PBKDF2 with one block.
    private func saltedPassword(salt: [UInt8], iterations: Int) -> [UInt8] {
        let key = SymmetricKey(data: Array(password.utf8))
        var block = Self.authenticate(salt + [0, 0, 0, 1], key)
        var result = block
        for _ in 1..<iterations {
            block = Self.authenticate(block, key)
            for index in result.indices { result[index] ^= block[index] }
        }
        return result
    }
}
