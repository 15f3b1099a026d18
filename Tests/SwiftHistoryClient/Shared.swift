import ArgumentParser
import Foundation
import Logging
import MartletClient
import Synchronization

/// What every mode is told.
struct Connecting: ParsableArguments {
    @Option(name: .shortAndLong, help: "HOST:PORT, several separated by commas.")
    var brokers: String

    @Option(help: "What the client's logs tell from: trace, debug, info, notice, warning or error.")
    var logLevel = "warning"

    var addresses: [BrokerAddress] { get throws { try BrokerAddress.list(brokers) } }

    /// To standard error.
    func startLogging() {
        let level = Logger.Level(rawValue: logLevel) ?? .warning
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
    }

    /// Pauses before retries that suit a test.
    func consumer(group: String? = nil) throws -> ConsumerConfiguration {
        var configuration = ConsumerConfiguration(bootstrapServers: try addresses, groupId: group)
        configuration.offsetReset = .earliest
        configuration.isAutoCommitEnabled = false
        configuration.fetchMaximumWait = .milliseconds(100)
        configuration.retryBackoff = .milliseconds(20)
        configuration.maximumRetryBackoff = .milliseconds(200)
        configuration.requestTimeout = .seconds(10)
        configuration.closeTimeout = .seconds(20)
        configuration.unknownPartitionTimeout = .seconds(3)
        return configuration
    }

    func producer() throws -> ProducerConfiguration {
        var configuration = ProducerConfiguration(bootstrapServers: try addresses)
        configuration.linger = .milliseconds(1)
        configuration.retryBackoff = .milliseconds(20)
        configuration.maximumRetryBackoff = .milliseconds(200)
        configuration.requestTimeout = .seconds(10)
        return configuration
    }
}

/// How a member takes part in its group.
enum Membership: String, ExpressibleByArgument, CaseIterable, Codable {
    case range, roundrobin, sticky
    case cooperative = "cooperative-sticky"
    /// The consumer protocol (KIP-848).
    case consumer

    func apply(to configuration: inout ConsumerConfiguration) {
        configuration.sessionTimeout = .seconds(4)
        configuration.heartbeatInterval = .milliseconds(200)
        switch self {
        case .range: configuration.partitionAssignmentStrategies = [.range]
        case .roundrobin: configuration.partitionAssignmentStrategies = [.roundRobin]
        case .sticky: configuration.partitionAssignmentStrategies = [.sticky]
        case .cooperative: configuration.partitionAssignmentStrategies = [.cooperativeSticky]
        case .consumer: configuration.groupProtocol = .consumer
        }
    }
}

/// Hands what a listener is told to a closure.
struct Listening: RebalanceListener {
    enum Event: String { case assigned, revoked, lost }

    let tell: @Sendable (Event, [TopicPartition]) -> Void

    func partitionsAssigned(_ partitions: [TopicPartition], to consumer: Consumer) async {
        tell(.assigned, partitions)
    }

    func partitionsRevoked(_ partitions: [TopicPartition], from consumer: Consumer) async {
        tell(.revoked, partitions)
    }

    func partitionsLost(_ partitions: [TopicPartition], from consumer: Consumer) async {
        tell(.lost, partitions)
    }
}

/// Whether the process was told to end (SIGTERM).
enum Termination {
    private static let isTold = Atomic(false)

    static func listen() {
        signal(SIGTERM) { _ in Termination.isTold.store(true, ordering: .relaxed) }
    }

    static var isAsked: Bool { isTold.load(ordering: .relaxed) }
}

/// One JSON object as a line of standard output.
func say(_ object: some Encodable) {
    do {
        try FileHandle.standardOutput.write(contentsOf: try JSONEncoder().encode(object) + [UInt8(ascii: "\n")])
    } catch {
        fatalError("nobody listens: \(error)")
    }
}

extension Duration {
    static func random(in range: ClosedRange<Double>, using chance: inout some RandomNumberGenerator) -> Duration {
        .seconds(Double.random(in: range, using: &chance))
    }
}
