import Configuration
import Foundation
import KafkaProtocol
import Logging
import MartletServer
import RecordFormat
import Testing

@testable import MartletClient

/// A real node on a port and in a folder of its own, which can be stopped and started again: in this process, or in one
/// of its own (`MARTLET_TEST_BINARY`).
actor TestNode {
    private static let settings = [
        "offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
    ]

    private let folder: URL
    private(set) var port = 0
    private var running: Task<Void, any Error>?
    /// nil: it runs in this process.
    private let process: BrokerProcess?

    private init() throws {
        process = try BrokerProcess.program.map { try BrokerProcess(program: $0, settings: Self.settings) }
        folder = FileManager.default.temporaryDirectory.appending(path: "martlet-client-\(UUID().uuidString)")
    }

    /// Runs `body` with a node; whatever it throws is an issue of the test.
    static func with(_ body: (TestNode) async throws -> Void) async throws {
        let node = try TestNode()
        try await node.start()
        do {
            try await body(node)
        } catch {
            Issue.record(error)
        }
        try await node.stop()
        try await node.removeFolder()
    }

    func start() async throws {
        if let process {
            try await process.start()
            port = process.port
            return
        }
        let configuration = try BrokerConfiguration(
            propertiesText: nil,
            overrides: [
                "log.dirs=\(folder.path)", "listeners=PLAINTEXT://127.0.0.1:\(port)",
            ] + Self.settings.map { "\($0.key)=\($0.value)" })
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let (ready, continuation) = AsyncStream<Int>.makeStream()
        let node = try Node(configuration: configuration, logger: logger) { continuation.yield($0[0].port) }
        running = Task { try await node.run() }
        var ports = ready.makeAsyncIterator()
        port = try #require(await ports.next())
    }

    func stop() async throws {
        if let process { return try await process.stop() }
        running?.cancel()
        try await running?.value
        running = nil
    }

    /// Ends it as a crash does (SIGKILL). A node in this process cannot crash alone: it stops.
    func crash() async throws {
        if let process { return try await process.crash() }
        try await stop()
    }

    private func removeFolder() async throws {
        if let process { return try await process.finish() }
        try FileManager.default.removeItem(at: folder)
    }

    var address: BrokerAddress { BrokerAddress(host: "127.0.0.1", port: port) }

    /// A configuration with pauses that suit a test.
    var producerConfiguration: ProducerConfiguration {
        var configuration = ProducerConfiguration(bootstrapServers: [address])
        configuration.retryBackoff = .milliseconds(10)
        configuration.maximumRetryBackoff = .milliseconds(50)
        return configuration
    }

    /// Runs `body` with a topic's values so far, by partition, as a reader of committed or of all records sees them.
    func values(_ topic: String, committedOnly: Bool = false) async throws -> [[String]] {
        let cluster = Cluster(bootstrap: [address])
        let count = try await cluster.topic(topic).partitions.count
        var configuration = ConsumerConfiguration(bootstrapServers: [address])
        configuration.isolationLevel = committedOnly ? .readCommitted : .readUncommitted
        configuration.fetchMaximumWait = .milliseconds(50)
        let partitions = (0..<count).map { TopicPartition(topic, Int32($0)) }
        let ends = try await Admin(cluster: cluster).offsets(of: partitions, at: .latest)
        let consumer = try Consumer(cluster: cluster, configuration: configuration)
        try consumer.assign(partitions, from: .beginning)
        var values = [[String]](repeating: [], count: count)
        while partitions.contains(where: { consumer.position(of: $0) ?? 0 < ends[$0]?.offset ?? 0 }) {
            for batch in try await consumer.nextBatches(timeout: .milliseconds(20)) {
                values[Int(batch.partition)] += batch.map { $0.value?.string ?? "null" }
            }
        }
        await consumer.close()
        await cluster.close()
        return values
    }

    func createTopic(_ name: String, partitions: Int32, _ configuration: [(String, String)] = []) async throws {
        let cluster = Cluster(bootstrap: [address])
        _ = try await Admin(cluster: cluster)
            .createTopic(name, partitions: partitions, replicationFactor: 1, configuration: configuration)
        await cluster.close()
    }

    func committedOffsets(of group: String) async throws -> [TopicPartition: Int64] {
        let cluster = Cluster(bootstrap: [address])
        let offsets = try await Admin(cluster: cluster).committedOffsets(of: group)
        await cluster.close()
        return offsets.mapValues(\.offset)
    }
}
