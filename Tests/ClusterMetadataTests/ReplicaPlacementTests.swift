import Configuration
import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct ReplicaPlacementTests {
    @Test("replicas are in different racks, leaders and replicas even, whatever the cluster", arguments: 0..<300)
    func placement(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let count = Int.random(in: 1...12, using: &generator)
        let rackCount = Int.random(in: 1...4, using: &generator)
        let brokers = (0..<count).map { index in
            BrokerRegistration(
                nodeId: Int32(index * 7 + 1), endpoints: [],
                rack: rackCount == 1 ? nil : "r\(Int.random(in: 0..<rackCount, using: &generator))")
        }
        let racks = Dictionary(uniqueKeysWithValues: brokers.map { ($0.nodeId, $0.rack ?? "") })
        let factor = Int.random(in: 1...min(count, 5), using: &generator)
        let partitions = Int.random(in: 1...60, using: &generator)
        let placed = ReplicaPlacement(brokers.shuffled(using: &generator))
            .place(partitions: partitions, factor: factor, using: &generator)

        #expect(placed.count == partitions)
        let used = Set(racks.values).count
        for replicas in placed {
            #expect(replicas.count == factor && Set(replicas).count == factor)
            #expect(Set(replicas.compactMap { racks[$0] }).count == min(factor, used))
        }
        let leaders = brokers.map { broker in placed.count { $0[0] == broker.nodeId } }
        #expect((leaders.max() ?? 0) - (leaders.min() ?? 0) <= 1)
        // Racks of one size can take the same load each.
        if Set(Dictionary(grouping: racks.values, by: { $0 }).values.map(\.count)).count == 1 {
            let loads = brokers.map { broker in placed.count { $0.contains(broker.nodeId) } }
            #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 2)
        }
    }

    @Test("when a broker dies its leaderships spread over the others")
    func successors() {
        var generator = SeededGenerator(seed: 7)
        let brokers = (1...4).map { BrokerRegistration(nodeId: $0, endpoints: [], rack: nil) }
        let placed = ReplicaPlacement(brokers).place(partitions: 120, factor: 3, using: &generator)
        for dead in brokers.map(\.nodeId) {
            let heirs = placed.filter { $0[0] == dead }.map { $0[1] }
            for other in brokers.map(\.nodeId) where other != dead {
                #expect(heirs.count { $0 == other } == 10)
            }
        }
    }

    @Test("a new topic uses only brokers that can take replicas")
    func topics() throws {
        var image = MetadataImage(brokers: 1...5)
        image.stop(1)
        image.start(2, isAdmitted: false)
        image.brokers[3]?.isShuttingDown = true
        var generator = SeededGenerator(seed: 3)
        func plan(factor: Int16) throws -> TopicMetadata {
            try image.plan(
                NewTopic(name: "t", partitionCount: 6, replicationFactor: factor), defaults: BrokerConfiguration(),
                id: Uuid(high: 1, low: 1), using: &generator)
        }
        let topic = try plan(factor: 2)
        for partition in topic.partitions {
            #expect(Set(partition.replicas) == [4, 5] && partition.inSyncReplicas == partition.replicas)
            #expect(partition.leader == partition.replicas[0])
        }
        let refusal = #expect(throws: MetadataRefusal.self) { try plan(factor: 3) }
        #expect(refusal?.code == .invalidReplicationFactor)
        #expect(refusal?.message.contains("3 time(s): 2 of 5 known") == true)
    }

    @Test("a manual assignment may name brokers that are away, but not only such")
    func manual() throws {
        var image = MetadataImage(brokers: 1...4)
        image.stop(1)
        image.start(2, isAdmitted: false)
        var generator = SeededGenerator(seed: 3)
        func plan(_ assignments: [Int32: [Int32]]) throws -> TopicMetadata {
            var request = NewTopic(name: "t", partitionCount: -1, replicationFactor: -1)
            request.assignments = assignments
            return try image.plan(
                request, defaults: BrokerConfiguration(), id: Uuid(high: 1, low: 1), using: &generator)
        }
        let topic = try plan([0: [1, 3, 2], 1: [4, 1, 3]])
        #expect(topic.partitions[0].state == "3/0/0 [1, 3, 2] isr [3]")
        #expect(topic.partitions[1].state == "4/0/0 [4, 1, 3] isr [4, 3]")
        for wrong: [Int32: [Int32]] in [[0: [1, 2]], [0: [9]], [0: [3, 3]], [0: [3, 4], 1: [3]]] {
            let refusal = #expect(throws: MetadataRefusal.self) { try plan(wrong) }
            #expect(refusal?.code == .invalidReplicaAssignment, "\(wrong)")
        }
        image.insert(topic)
        let grown = try image.planPartitions(
            of: "t", count: 3, assignments: [[2, 4, 3]], defaults: BrokerConfiguration(), using: &generator)
        #expect(grown.partitions[2].state == "4/0/0 [2, 4, 3] isr [4, 3]")
        let refusal = #expect(throws: MetadataRefusal.self) {
            try image.planPartitions(
                of: "t", count: 3, assignments: [[3]], defaults: BrokerConfiguration(), using: &generator)
        }
        #expect(refusal?.code == .invalidReplicaAssignment)
    }
}
