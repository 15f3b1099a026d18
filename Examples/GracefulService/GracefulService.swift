// A service that consumes a topic until it is told to stop: then it finishes the record at hand, commits, leaves its
// group, so that another member has its partitions at once, and ends.
//
//   GracefulService BROKERS TOPIC
import Logging
import MartletClient
import ServiceLifecycle

/// Does the service's work.
struct Worker: Service {
    let consumer: Consumer
    let topic: String
    let logger: Logger

    func run() async throws {
        try consumer.subscribe(to: [topic])
        // Ends at the graceful shutdown, after the record at hand.
        for try await record in consumer.records {
            logger.info(
                "record",
                metadata: [
                    "partition": "\(record.partition)", "offset": "\(record.offset)",
                    "value": "\(record.value?.string ?? "")",
                ])
        }
    }
}

@main
struct GracefulService {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else { fatalError("usage: GracefulService BROKERS TOPIC") }
        let logger = Logger(label: "service")
        var configuration = ConsumerConfiguration(
            bootstrapServers: try BrokerAddress.list(arguments[1]), groupId: "graceful-service")
        configuration.offsetReset = .earliest
        let consumer = try Consumer(configuration: configuration, logger: logger)
        let worker = Worker(consumer: consumer, topic: arguments[2], logger: logger)
        // Services end in the opposite order: first the worker, then the consumer, which commits what the worker was done with.
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: consumer),
                    .init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup),
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }
}
