import Configuration
import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct ReassignmentTests {
    private let reference = PartitionReference(topic: "t", partition: 0)

    private func image(
        _ partition: PartitionMetadata = .led(1, 2, 3), unclean: Bool = false
    ) throws -> MetadataImage {
        var image = MetadataImage(brokers: 1...6)
        try image.add("t", unclean ? ["unclean.leader.election.enable": "true"] : [:], [partition])
        return image
    }

    @discardableResult
    private func reassign(
        _ image: inout MetadataImage, to replicas: [Int32]?, anyFactor: Bool = true
    ) -> ErrorCode? {
        let outcome = image.alterReassignments(
            [ReassignmentRequest(reference, to: replicas)], allowsOtherReplicationFactor: anyFactor,
            defaults: BrokerConfiguration())
        image.apply(outcome.topics)
        return outcome.refusals[0]?.code
    }

    private func inSync(_ image: inout MetadataImage, _ members: [Int32]) throws {
        let topic = try #require(image.topics["t"])
        let partition = topic.partitions[0]
        let outcome = try image.alterPartition(
            InSyncChange(
                topicId: topic.id, partition: 0, leaderEpoch: partition.leaderEpoch,
                partitionEpoch: partition.partitionEpoch,
                inSyncReplicas: members.map { InSyncChange.Replica(brokerId: $0, brokerEpoch: 1) }),
            from: partition.leader, brokerEpoch: 1)
        var draft = MetadataDraft(image)
        draft.set(outcome.partition, of: outcome.reference)
        image = draft.image
    }

    @Test("new replicas join, and when all are in sync the old ones leave")
    func whole() throws {
        var image = try image()
        #expect(reassign(&image, to: [4, 2, 5]) == nil)
        #expect(image.state() == "1/0/1 [4, 2, 5, 1, 3] isr [1, 2, 3] + [4, 5] - [1, 3]")
        #expect(
            image.reassignments() == [
                OngoingReassignment(
                    reference: reference, replicas: [4, 2, 5, 1, 3], adding: [4, 5], removing: [1, 3])
            ])
        try inSync(&image, [1, 2, 3, 4])
        #expect(image.state() == "1/0/2 [4, 2, 5, 1, 3] isr [1, 2, 3, 4] + [4, 5] - [1, 3]")
        try inSync(&image, [1, 2, 3, 4, 5])
        #expect(image.state() == "4/1/3 [4, 2, 5] isr [2, 4, 5]")
        #expect(image.reassignments().isEmpty)
        #expect(image.reassignments(of: [reference, PartitionReference(topic: "x", partition: 0)]).isEmpty)
    }

    @Test("another order, or fewer replicas in sync, is done at once")
    func atOnce() throws {
        var image = try image()
        reassign(&image, to: [3, 2, 1])
        #expect(image.state() == "1/0/1 [3, 2, 1] isr [1, 2, 3]")
        reassign(&image, to: [3, 2])
        #expect(image.state() == "3/1/2 [3, 2] isr [2, 3]")
        reassign(&image, to: [3, 2])
        #expect(image.state() == "3/1/2 [3, 2] isr [2, 3]")
    }

    @Test("a reassignment is taken back")
    func cancel() throws {
        var image = try image()
        #expect(reassign(&image, to: nil) == .noReassignmentInProgress)
        reassign(&image, to: [4, 2, 5])
        try inSync(&image, [1, 2, 4])
        #expect(reassign(&image, to: nil) == nil)
        #expect(image.state() == "1/0/3 [2, 1, 3] isr [1, 2]")
    }

    @Test("a reassignment replaces another; who joined for the first leaves at its end or its reversal")
    func replace() throws {
        var image = try image()
        reassign(&image, to: [4, 5, 6])
        try inSync(&image, [1, 2, 3, 6])
        reassign(&image, to: [4, 1])
        #expect(image.state() == "1/0/3 [4, 1, 5, 6, 2, 3] isr [1, 2, 3, 6] + [4, 5, 6] - [5, 6, 2, 3]")
        var cancelled = image
        reassign(&cancelled, to: nil)
        #expect(cancelled.state() == "1/0/4 [1, 2, 3] isr [1, 2, 3]")
        try inSync(&image, [1, 4])
        #expect(image.state() == "1/0/4 [4, 1] isr [1, 4]")
    }

    @Test("going back to replicas none of which is in sync needs an unclean election", arguments: [false, true])
    func uncleanCancel(unclean: Bool) throws {
        var image = try image(unclean: unclean)
        reassign(&image, to: [4, 5, 6])
        try inSync(&image, [1, 4])
        image.stop(1)
        image.reconcile()
        let before = image.state()
        #expect(before == "4/1/3 [4, 5, 6, 1, 2, 3] isr [4] + [4, 5, 6] - [1, 2, 3]")
        let outcome = image.alterReassignments(
            [ReassignmentRequest(reference, to: nil)], allowsOtherReplicationFactor: true,
            defaults: BrokerConfiguration())
        image.apply(outcome.topics)
        if unclean {
            #expect(outcome.uncleanElections == [reference])
            #expect(image.state() == "2/2/4 [1, 2, 3] isr [2]")
        } else {
            #expect(outcome.refusals[0]?.code == .invalidReplicaAssignment)
            #expect(image.state() == before)
        }
    }

    @Test("a target that is away waits, and the old replicas stay")
    func awayTarget() throws {
        var image = try image()
        image.stop(2)
        #expect(reassign(&image, to: [2]) == nil)
        #expect(image.state() == "1/0/1 [2, 1, 3] isr [1, 3] + [] - [1, 3]")
        #expect(image.reconcile().isEmpty)
    }

    @Test("what may not be is refused with the protocol's error")
    func refusals() throws {
        var image = try image()
        for wrong: [Int32] in [[], [1, 1], [9], [-1]] {
            #expect(reassign(&image, to: wrong) == .invalidReplicaAssignment, "\(wrong)")
        }
        #expect(reassign(&image, to: [4, 5], anyFactor: false) == .invalidReplicationFactor)
        #expect(reassign(&image, to: [4, 5, 6], anyFactor: false) == nil)
        #expect(reassign(&image, to: [4, 5, 1], anyFactor: false) == nil)
        let outcome = image.alterReassignments(
            [
                ReassignmentRequest(PartitionReference(topic: "t", partition: 7), to: [1]),
                ReassignmentRequest(PartitionReference(topic: "x", partition: 0), to: nil),
            ], allowsOtherReplicationFactor: true, defaults: BrokerConfiguration())
        #expect(outcome.refusals.map { $0?.code } == [.unknownTopicOrPartition, .unknownTopicOrPartition])
        #expect(outcome.topics.isEmpty)
    }
}
