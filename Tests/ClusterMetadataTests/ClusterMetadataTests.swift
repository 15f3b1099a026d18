import Configuration
import Foundation
import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct ClusterMetadataTests {
    private func withStore(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appendingPathComponent("metadata.sqlite").path)
    }

    private func cluster(_ path: String) throws -> ClusterState {
        let state = try ClusterState(
            store: SQLiteMetadataStore(path: path), nodeId: 1, newClusterId: { "cluster" })
        state.register(
            BrokerRegistration(
                nodeId: 1, endpoints: [BrokerRegistration.Endpoint(listener: "l", host: "h", port: 1)], rack: nil))
        return state
    }

    private func topic(_ cluster: ClusterState, _ name: String, partitions: Int32 = 1) throws -> TopicMetadata {
        var generator = SeededGenerator(seed: 1)
        return try cluster.image.plan(
            NewTopic(name: name, partitionCount: partitions, replicationFactor: 1), defaults: BrokerConfiguration(),
            id: Uuid.random(), using: &generator)
    }

    private func change(_ cluster: ClusterState, _ body: (inout MetadataTransaction, MetadataImage) -> Void) throws {
        var transaction = MetadataTransaction()
        body(&transaction, cluster.image)
        try cluster.commit(transaction)
    }

    @Test("a transaction applies wholly or not at all")
    func compareAndSet() throws {
        try withStore { path in
            let store = try SQLiteMetadataStore(path: path)
            var first = MetadataTransaction()
            first.require("a", version: 0)
            first.put("a", [1])
            first.put("b", [2])
            _ = try store.commit(first)
            var stale = MetadataTransaction()
            stale.put("b", [9])
            stale.require("a", version: 0)
            #expect(throws: MetadataStoreError.self) { try store.commit(stale) }
            #expect(
                try store.snapshot().entries == [
                    MetadataEntry(key: "a", value: [1], version: 1), MetadataEntry(key: "b", value: [2], version: 1),
                ])
            store.close()
        }
    }

    @Test("topics, configurations and producer ids are there after a restart")
    func restart() throws {
        try withStore { path in
            let before = try cluster(path)
            #expect(before.isNew)
            try before.establish()
            var created = try topic(before, "t", partitions: 3)
            try created.configuration.set("retention.ms", to: "5", in: TopicConfigurations.byName)
            let gone = try topic(before, "gone")
            try change(before) { transaction, image in
                transaction.put(created, over: image)
                transaction.put(gone, over: image)
            }
            try change(before) { $0.deleteTopic(named: "gone", from: $1) }
            var values = ConfigurationValues()
            try values.set("log.retention.ms", to: "7", in: BrokerConfigurations.byName)
            try change(before) { transaction, image in
                transaction.put(values, ofBroker: 1, over: image)
                transaction.put(values, ofBroker: nil, over: image)
            }
            #expect(try before.allocateProducerIds() == 0..<1000)
            before.close()

            let after = try cluster(path)
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
            let cluster = try cluster(path)
            let present = try topic(cluster, "a.b")
            try change(cluster) { $0.put(present, over: $1) }
            var generator = SeededGenerator(seed: 1)
            func code(_ change: (inout NewTopic) -> Void) -> ErrorCode? {
                var request = NewTopic(name: "t", partitionCount: 1, replicationFactor: 1)
                change(&request)
                do {
                    _ = try cluster.image.plan(
                        request, defaults: BrokerConfiguration(), id: Uuid.random(), using: &generator)
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
            #expect(assigned([0: []]) == .invalidReplicaAssignment)
            cluster.close()
        }
    }
}
