import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct LeaderElectionTests {
    private func reference(_ partition: Int32, _ topic: String = "t") -> PartitionReference {
        PartitionReference(topic: topic, partition: partition)
    }

    private func led(by leader: Int32, _ replicas: [Int32], isr: [Int32]) -> PartitionMetadata {
        PartitionMetadata(leader: leader, replicas: replicas, inSyncReplicas: isr)
    }

    @Test("preferred leaders are elected where they are in sync")
    func preferred() throws {
        var image = MetadataImage(brokers: 1...3)
        try image.add(
            "t", [:],
            [
                led(by: 2, [1, 2, 3], isr: [2, 1]), led(by: 2, [1, 2, 3], isr: [2, 3]), led(by: 1, [1, 2], isr: [1]),
            ])
        let all = image.electLeaders(.preferred, of: nil)
        #expect(all.results.map(\.reference) == [reference(0), reference(1)])
        #expect(all.results.map { $0.refusal?.code } == [nil, .preferredLeaderNotAvailable])
        let listed = image.electLeaders(
            .preferred, of: [2, 0, 0, 7].map { reference($0) } + [reference(0, "x")])
        #expect(
            listed.results.map { $0.refusal?.code } == [
                .electionNotNeeded, nil, .electionNotNeeded, .unknownTopicOrPartition, .unknownTopicOrPartition,
            ])
        image.apply(listed.topics)
        #expect(image.state("t", 0) == "1/1/1 [1, 2, 3] isr [2, 1]")
        #expect(image.state("t", 1) == "2/0/0 [1, 2, 3] isr [2, 3]")
    }

    @Test("an operator's unclean election lets anybody lead who is there")
    func unclean() throws {
        var image = MetadataImage(brokers: 1...3)
        try image.add(
            "t", [:],
            [
                led(by: -1, [1, 2], isr: [1]), led(by: -1, [1], isr: [1]), led(by: 3, [3], isr: [3]),
                led(by: -1, [1, 2], isr: [1, 2]),
            ])
        image.stop(1)
        let outcome = image.electLeaders(.unclean, of: (0...3).map { reference($0) })
        #expect(
            outcome.results.map { $0.refusal?.code } == [nil, .eligibleLeadersNotAvailable, .electionNotNeeded, nil])
        #expect(outcome.uncleanElections == [reference(0)])
        image.apply(outcome.topics)
        #expect(image.state("t", 0) == "2/1/1 [1, 2] isr [2]")
        #expect(image.state("t", 3) == "2/1/1 [1, 2] isr [2]")
    }

    @Test("leaders go back when too many are elsewhere, and only where they can")
    func balance() throws {
        var image = MetadataImage(brokers: 1...3)
        // Of broker 1's ten partitions two are led by others, of broker 2's two one.
        var partitions = (0..<8).map { _ in led(by: 1, [1, 2], isr: [1, 2]) }
        partitions += [led(by: 2, [1, 2], isr: [1, 2]), led(by: 2, [1, 2], isr: [2])]
        partitions += [led(by: 3, [2, 3], isr: [2, 3]), led(by: 2, [2, 3], isr: [2, 3])]
        try image.add("t", [:], partitions)
        #expect(image.leaderBalance(imbalancePercentage: 50).isEmpty)
        var some = image
        some.apply(image.leaderBalance(imbalancePercentage: 20))
        #expect(some.state("t", 8) == "2/0/0 [1, 2] isr [1, 2]")
        #expect(some.state("t", 10) == "2/1/1 [2, 3] isr [2, 3]")
        image.apply(image.leaderBalance(imbalancePercentage: 19))
        #expect(image.state("t", 8) == "1/1/1 [1, 2] isr [1, 2]")
        #expect(image.state("t", 9) == "2/0/0 [1, 2] isr [2]")
        #expect(image.leaderBalance(imbalancePercentage: 0).isEmpty)
    }

    @Test("a node that is gone for good leaves what it waits in")
    func unregistration() throws {
        var image = MetadataImage(brokers: 1...3)
        try image.add("t", [:], [.led(1, 2), .led(1)])
        #expect(throws: MetadataRefusal.self) { try image.unregistration(of: 1) }
        image.stop(1, 2)
        image.reconcile()
        image.apply(try image.unregistration(of: 1))
        image.nodes[1] = nil
        #expect(image.state("t", 0) == "-1/1/2 [1, 2] isr [2]")
        #expect(image.state("t", 1) == "-1/1/1 [1] isr [1]")
        let refusal = #expect(throws: MetadataRefusal.self) { try image.unregistration(of: 1) }
        #expect(refusal?.code == .brokerIdNotRegistered)
    }
}
