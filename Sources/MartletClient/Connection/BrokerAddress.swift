/// Where a broker listens.
public struct BrokerAddress: Hashable, Sendable, CustomStringConvertible {
    /// 9092, Kafka's.
    public static let defaultPort = 9092

    /// A name or an address.
    public var host: String
    /// 1 to 65,535.
    public var port: Int

    /// The broker at `host` and `port`.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST`, `HOST:PORT` or `[IPv6]:PORT`. Throws `invalidArgument`.
    public init(parsing text: String) throws(ClientError) {
        var host = Substring(text)
        var portText: Substring?
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { throw .invalidAddress(text) }
            portText = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.lastIndex(of: ":") {
            // More than one colon without brackets is an IPv6 address alone.
            if text.firstIndex(of: ":") == colon {
                host = text[..<colon]
                portText = text[text.index(after: colon)...]
            }
        }
        guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "[" || $0 == "]" }) else {
            throw .invalidAddress(text)
        }
        var port = Self.defaultPort
        if let portText {
            guard let number = Int(portText), (1...65_535).contains(number) else { throw .invalidAddress(text) }
            port = number
        }
        self.init(host: String(host), port: port)
    }

    /// Reads a comma-separated list, at least one address. Throws `invalidArgument`.
    public static func list(_ text: String) throws(ClientError) -> [BrokerAddress] {
        var addresses: [BrokerAddress] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: true) {
            let trimmed = part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
            addresses.append(try BrokerAddress(parsing: String(trimmed)))
        }
        guard !addresses.isEmpty else { throw .invalidAddress(text) }
        return addresses
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

extension ClientError {
    fileprivate static func invalidAddress(_ text: String) -> ClientError {
        ClientError(
            .invalidArgument, "'\(text)' is not a broker's address",
            nextStep: "write HOST:PORT, several separated by commas")
    }
}
