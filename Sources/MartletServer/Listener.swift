import Configuration

/// A place where clients connect: `PLAINTEXT://HOST:PORT`.
package struct Listener: Sendable, Equatable {
    package var name: String
    /// Empty for every address.
    package var host: String
    package var port: Int

    package init(name: String, host: String, port: Int) {
        self.name = name
        self.host = host
        self.port = port
    }

    package static func parse(_ text: String, of configuration: String) throws(ConfigurationError) -> Listener {
        func refuse(_ reason: String) -> ConfigurationError {
            ConfigurationError("\(configuration)=\(text): \(reason); expected PLAINTEXT://HOST:PORT")
        }
        guard let scheme = text.range(of: "://") else { throw refuse("there is no '://'") }
        let name = String(text[..<scheme.lowerBound]).uppercased()
        let address = text[scheme.upperBound...]
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (0...65535).contains(port)
        else { throw refuse("there is no port") }
        var host = String(address[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard !name.isEmpty else { throw refuse("the listener has no name") }
        guard !["SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(name) else {
            throw refuse("listeners are plain text so far")
        }
        return Listener(name: name, host: host, port: port)
    }

    package static func list(
        _ name: String, in configuration: BrokerConfiguration
    ) throws(ConfigurationError) -> [Listener] {
        var listeners: [Listener] = []
        for text in configuration.list(name) {
            let listener = try parse(text, of: name)
            guard !listeners.contains(where: { $0.name == listener.name }) else {
                throw ConfigurationError("\(name): there are two listeners named \(listener.name)")
            }
            listeners.append(listener)
        }
        return listeners
    }
}
