import MartletTesting
import Testing

@testable import MartletClient

/// A broker that a test needs nothing of but what clients see: one in this process, or `martlet server` in a process of
/// its own (`MARTLET_TEST_BINARY`).
protocol TestedBroker: Sendable {
    var port: Int { get }
    func createTopic(_ name: String, partitions: Int) async throws
    func restart() async throws
}

extension TestedBroker {
    func createTopic(_ name: String) async throws { try await createTopic(name, partitions: 1) }

    var addresses: [BrokerAddress] { [BrokerAddress(host: "127.0.0.1", port: port)] }
}

extension TestBroker: TestedBroker {
    func createTopic(_ name: String, partitions: Int) async throws {
        try await createTopic(name, partitions: partitions, configuration: [:])
    }
}

extension BrokerProcess: TestedBroker {
    func createTopic(_ name: String, partitions: Int) async throws {
        let admin = try Admin(configuration: AdminConfiguration(bootstrapServers: addresses))
        _ = try await admin.createTopic(NewTopic(name, partitionCount: Int32(partitions)))
        await admin.close()
    }
}

/// Runs `body` with a broker of either kind.
func withTestedBroker(
    _ settings: [String: String] = [:], _ body: (any TestedBroker) async throws -> Void
) async throws {
    guard let program = BrokerProcess.program else {
        return try await withBroker(BrokerTestConfiguration(settings: settings)) { try await body($0) }
    }
    let broker = try BrokerProcess(
        program: program, settings: BrokerTestConfiguration.defaultSettings.merging(settings) { $1 })
    do {
        try await broker.start()
        try await body(broker)
    } catch {
        try await broker.finish()
        throw error
    }
    try await broker.finish()
}
