import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct InSyncChangeTests {
    private func image(_ partition: PartitionMetadata = .led(1, 2, 3, isr: [1, 2])) throws -> MetadataImage {
        var image = MetadataImage(brokers: 1...4)
        try image.add("t", [:], [partition])
        return image
    }

    private func wish(_ image: MetadataImage, _ members: [Int32]) -> InSyncChange {
        let partition = image.topics["t"]?.partitions[0]
        return InSyncChange(
            topicId: image.topics["t"]?.id ?? Uuid(high: 0, low: 0), partition: 0,
            leaderEpoch: partition?.leaderEpoch ?? 0, partitionEpoch: partition?.partitionEpoch ?? 0,
            inSyncReplicas: members.map { InSyncChange.Replica(brokerId: $0, brokerEpoch: -1) })
    }

    @Test("a leader takes replicas in and lets them go")
    func growAndShrink() throws {
        var image = try image()
        for (members, state): ([Int32], String) in [
            ([1, 2, 3], "1/0/1 [1, 2, 3] isr [1, 2, 3]"), ([1, 3], "1/0/2 [1, 2, 3] isr [1, 3]"),
            ([1], "1/0/3 [1, 2, 3] isr [1]"),
        ] {
            let outcome = try image.alterPartition(wish(image, members), from: 1, brokerEpoch: 1)
            #expect(outcome.isChanged && !outcome.hasNewLeader)
            var draft = MetadataDraft(image)
            draft.set(outcome.partition, of: outcome.reference)
            #expect(draft.topics.map(\.name) == ["t"])
            image = draft.image
            #expect(image.state() == state)
        }
        let same = try image.alterPartition(wish(image, [1]), from: 1, brokerEpoch: 1)
        #expect(!same.isChanged && same.partition == image.topics["t"]?.partitions[0])
    }

    @Test("what a leader may not ask is refused with the protocol's error")
    func refusals() throws {
        var partition = PartitionMetadata.led(1, 2, 3, isr: [1, 2])
        partition.leaderEpoch = 5
        partition.partitionEpoch = 9
        var image = try image(partition)
        func code(from broker: Int32 = 1, epoch: Int64 = 1, _ change: (inout InSyncChange) -> Void) -> ErrorCode? {
            var wish = wish(image, [1, 2, 3])
            change(&wish)
            do throws(MetadataRefusal) {
                _ = try image.alterPartition(wish, from: broker, brokerEpoch: epoch)
                return nil
            } catch {
                return error.code
            }
        }
        func members(_ ids: [Int32], epoch: Int64 = -1) -> ErrorCode? {
            code { $0.inSyncReplicas = ids.map { InSyncChange.Replica(brokerId: $0, brokerEpoch: epoch) } }
        }
        #expect(code { _ in } == nil)
        #expect(code(epoch: 2) { _ in } == .staleBrokerEpoch)
        #expect(code(from: 9) { _ in } == .staleBrokerEpoch)
        #expect(code { $0.topicId = Uuid(high: 9, low: 9) } == .unknownTopicId)
        #expect(code { $0.partition = 1 } == .unknownTopicOrPartition)
        #expect(code { $0.partition = -1 } == .unknownTopicOrPartition)
        #expect(code { $0.leaderEpoch = 6 } == .notController)
        #expect(code { $0.partitionEpoch = 10 } == .notController)
        #expect(code { $0.leaderEpoch = 4 } == .fencedLeaderEpoch)
        #expect(code(from: 2) { _ in } == .invalidRequest)
        #expect(code { $0.partitionEpoch = 8 } == .invalidUpdateVersion)
        #expect(members([]) == .invalidRequest)
        #expect(members([2]) == .invalidRequest)
        #expect(members([1, 4]) == .invalidRequest)
        #expect(members([1, 1]) == .invalidRequest)
        #expect(code { $0.leaderRecoveryState = 1 } == .invalidRequest)
        #expect(members([1, 2, 3], epoch: 1) == nil)
        #expect(members([1, 2, 3], epoch: 7) == .ineligibleReplica)
        image.brokers[3]?.isShuttingDown = true
        #expect(members([1, 3]) == .ineligibleReplica)
        image.start(3, isAdmitted: false)
        #expect(members([1, 3]) == .ineligibleReplica)
        image.stop(3)
        #expect(members([1, 3]) == .ineligibleReplica)
    }

    @Test("a leader that is about to stop goes when another one is in sync")
    func handOver() throws {
        var image = try image(.led(1, 2, 3, isr: [1]))
        image.brokers[1]?.isShuttingDown = true
        image.reconcile()
        let outcome = try image.alterPartition(wish(image, [1, 2]), from: 1, brokerEpoch: 1)
        #expect(outcome.hasNewLeader)
        #expect(outcome.partition.state == "2/1/1 [1, 2, 3] isr [2]")
    }
}
