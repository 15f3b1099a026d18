import ArgumentParser
import Configuration
import Foundation
import MartletClient

/// Which cluster a command speaks to.
struct ConnectionOptions: ParsableArguments {
    @Option(
        name: [.customShort("b"), .customLong("bootstrap-server")],
        help: ArgumentHelp("Brokers to begin with; the others are learned from them.", valueName: "host:port,…"))
    var bootstrapServer: BootstrapServers = .default

    @Option(
        help: ArgumentHelp(
            "Properties of the connection's security: security.protocol, sasl.mechanism, sasl.username, sasl.password, "
                + "ssl.ca.location, ssl.certificate.location, ssl.key.location.", valueName: "file"))
    var commandConfig: String?

    @Option(help: ArgumentHelp("How long one request may take, in milliseconds.", valueName: "ms"))
    var timeout: Int = 30_000

    func validate() throws {
        guard (1...3_600_000).contains(timeout) else {
            throw ValidationError("--timeout must be between 1 and 3600000 milliseconds")
        }
    }

    /// Calls `body` with a client of the cluster, and closes its connections whatever happens.
    func withCluster<Value>(_ body: (Cluster) async throws -> Value) async throws -> Value {
        var options = ClientOptions()
        options.clientId = "martlet-cli"
        options.requestTimeout = .milliseconds(timeout)
        if let commandConfig { options.security = try TransportSecurity(ClientSecurity(file: commandConfig)) }
        let cluster = Cluster(bootstrap: bootstrapServer.addresses, options: options)
        do {
            let value = try await body(cluster)
            await cluster.close()
            return value
        } catch {
            await cluster.close()
            throw error
        }
    }
}

extension ClientSecurity {
    /// From a properties file.
    fileprivate init(file: String) throws {
        let text: String
        do {
            text = try String(contentsOfFile: file, encoding: .utf8)
        } catch {
            throw CommandFailure("'\(file)' cannot be read; name a properties file with --command-config")
        }
        let entries = try Properties.parse(text)
        try self.init(properties: Dictionary(entries.map { ($0.name, $0.value) }) { $1 })
    }
}

struct BootstrapServers: ExpressibleByArgument {
    static let `default` = BootstrapServers(
        addresses: [BrokerAddress(host: "127.0.0.1", port: BrokerAddress.defaultPort)])

    let addresses: [BrokerAddress]

    private init(addresses: [BrokerAddress]) {
        self.addresses = addresses
    }

    init?(argument: String) {
        do throws(ClientError) {
            addresses = try BrokerAddress.list(argument)
        } catch {
            return nil
        }
    }

    var defaultValueDescription: String { addresses.map(\.description).joined(separator: ",") }
}
