import ArgumentParser
import Broker
import Configuration
import Foundation
import Logging
import MartletServer
import ServiceLifecycle

struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Run a node until it is told to stop (SIGTERM or Ctrl-C).",
        discussion: """
            Configurations have Kafka's names. They come from a properties file and from --set, which stands before it:

              martlet server --config server.properties --set log.retention.hours=24

            `martlet server --help-configs` lists them all. An invalid name or value ends the program with code 64.
            """)

    @Option(name: [.customShort("c"), .long], help: "A properties file with the node's configuration.")
    var config: String?

    @Option(name: [.customShort("s"), .customLong("set")], help: "A configuration, name=value; may be repeated.")
    var overrides: [String] = []

    @Option(name: .shortAndLong, help: "The folder of the data, the same as --set log.dirs=FOLDER.")
    var data: String?

    @Option(name: .shortAndLong, help: "HOST:PORT to listen on, the same as --set listeners=PLAINTEXT://HOST:PORT.")
    var listen: String?

    @Flag(name: .customLong("help-configs"), help: "List all configurations of a node and of its topics.")
    var helpConfigs = false

    func run() async throws {
        if helpConfigs {
            print(ConfigurationHelp.text)
            return
        }
        let node: Node
        let logger: Logger
        do {
            let configuration = try NodeConfiguration.read(
                file: config, overrides: overrides, data: data, listen: listen)
            logger = makeLogger(configuration)
            node = try Node(configuration: configuration, logger: logger)
        } catch let error as ConfigurationError {
            fail("\(error)", code: .validationFailure)
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: node, successTerminationBehavior: .gracefullyShutdownGroup)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger)))
        do {
            try await group.run()
        } catch let error as NodeError {
            fail("\(error)", code: .failure)
        }
    }

    private func makeLogger(_ configuration: BrokerConfiguration) -> Logger {
        var logger = Logger(label: "martlet") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = Logger.Level(rawValue: configuration.string("log.level")) ?? .info
        return logger
    }

    /// The lifecycle library tells each of its steps, which says nothing to an operator.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = .error
        return logger
    }

    private func fail(_ message: String, code: ExitCode) -> Never {
        try? FileHandle.standardError.write(contentsOf: Data("martlet: \(message)\n".utf8))
        Foundation.exit(code.rawValue)
    }
}
