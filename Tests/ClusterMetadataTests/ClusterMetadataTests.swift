import Configuration
import Foundation
import KafkaProtocol
import Testing

@testable import ClusterMetadata

@Suite struct ClusterMetadataTests {
    private func withStore(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appendingPathComponent("metadata.sqlite").path)
    }

    private func controller(_ path: String) throws -> ClusterController {
        try ClusterController(
            store: SQLiteMetadataStore(path: path),
            registration: BrokerRegistration(nodeId: 1, host: "h", port: 1, rack: nil), newClusterId: { "cluster" })
    }

    private func topic(_ controller: ClusterController, _ name: String, partitions: Int32 = 1) throws -> TopicMetadata {
        try controller.plan(
            NewTopic(name: name, partitionCount: partitions, replicationFactor: 1), defaults: BrokerConfiguration(),
            id: Uuid.random())
    }

    @Test("a transaction applies wholly or not at all")
    func compareAndSet() throws {
        try withStore { path in
            let store = try SQLiteMetadataStore(path: path)
            var first = MetadataTransaction()
            first.require("a", version: 0)
            first.put("a", [1])
            first.put("b", [2])
            try store.commit(first)
            var stale = MetadataTransaction()
            stale.put("b", [9])
            stale.require("a", version: 0)
            #expect(throws: MetadataStoreError.self) { try store.commit(stale) }
            #expect(
                try store.entries() == [
                    MetadataEntry(key: "a", value: [1], version: 1), MetadataEntry(key: "b", value: [2], version: 1),
                ])
            store.close()
        }
    }

    @Test("topics, configurations and producer ids are there after a restart")
    func restart() throws {
        try withStore { path in
            let before = try controller(path)
            #expect(before.isNew)
            try before.establish()
            var created = try topic(before, "t", partitions: 3)
            try created.configuration.set("retention.ms", to: "5", in: TopicConfigurations.byName)
            try before.create(created)
            try before.create(topic(before, "gone"))
            try before.deleteTopic(named: "gone")
            var values = ConfigurationValues()
            try values.set("log.retention.ms", to: "7", in: BrokerConfigurations.byName)
            try before.setBrokerConfiguration(values, nodeId: 1)
            try before.setBrokerConfiguration(values, nodeId: nil)
            #expect(try before.allocateProducerIds() == 0..<1000)
            before.close()

            let after = try controller(path)
            #expect(!after.isNew && after.image.clusterId == "cluster")
            #expect(after.image.topics == ["t": created])
            #expect(after.image.topic(withId: created.id) == created)
            #expect(after.image.brokerConfigurations[1] == values && after.image.brokerConfigurations[nil] == values)
            #expect(try after.allocateProducerIds() == 1000..<2000)
            after.close()
        }
    }

    @Test("what a new topic may not be is refused with the protocol's error")
    func refusals() throws {
        try withStore { path in
            let controller = try controller(path)
            try controller.create(topic(controller, "a.b"))
            func code(_ change: (inout NewTopic) -> Void) -> ErrorCode? {
                var request = NewTopic(name: "t", partitionCount: 1, replicationFactor: 1)
                change(&request)
                do {
                    _ = try controller.plan(request, defaults: BrokerConfiguration(), id: Uuid.random())
                    return nil
                } catch {
                    return error.code
                }
            }
            #expect(code { _ in } == nil)
            #expect(code { $0.name = "a.b" } == .topicAlreadyExists)
            #expect(code { $0.name = "a_b" } == .invalidTopicException)
            for name in ["", ".", "..", "a b", "ä", String(repeating: "x", count: 250)] {
                #expect(code { $0.name = name } == .invalidTopicException, "\(name)")
            }
            #expect(code { $0.partitionCount = 0 } == .invalidPartitions)
            #expect(code { $0.partitionCount = 1_000_000 } == .policyViolation)
            #expect(code { $0.replicationFactor = 0 } == .invalidReplicationFactor)
            #expect(code { $0.replicationFactor = 2 } == .invalidReplicationFactor)
            #expect(code { $0.configuration = [("retention.ms", "soon")] } == .invalidConfig)
            #expect(code { $0.configuration = [("retention", "1")] } == .invalidConfig)
            #expect(code { $0.assignments = [0: [1]] } == .invalidRequest)
            func assigned(_ assignments: [Int32: [Int32]]) -> ErrorCode? {
                code {
                    $0.partitionCount = -1
                    $0.replicationFactor = -1
                    $0.assignments = assignments
                }
            }
            #expect(assigned([0: [1], 1: [1]]) == nil)
            #expect(assigned([1: [1]]) == .invalidReplicaAssignment)
            #expect(assigned([0: [1, 1]]) == .invalidReplicaAssignment)
            #expect(assigned([0: [2]]) == .invalidReplicaAssignment)
            controller.close()
        }
    }
}
