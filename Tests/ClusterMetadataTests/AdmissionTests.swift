import Configuration
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct AdmissionTests {
    /// A topic that syncs and one that does not.
    private func image(isr: [Int32]) throws -> MetadataImage {
        var image = MetadataImage(brokers: 1...3)
        let partition = PartitionMetadata(leader: isr[0], replicas: [1, 2, 3], inSyncReplicas: isr)
        try image.add("sync", ["durability": "fsync"], [partition])
        try image.add("cache", ["durability": "page-cache"], [partition])
        return image
    }

    @Test("there is nothing to admit of a node that is unknown, away or admitted")
    func nothing() throws {
        var image = try image(isr: [1])
        image.stop(2)
        for id: Int32 in 1...4 { #expect(image.admission(of: id, defaults: BrokerConfiguration()) == nil) }
        image.start(2, isAdmitted: false)
        image.nodes[2]?.incarnation = "another"
        #expect(image.admission(of: 2, defaults: BrokerConfiguration()) == nil)
    }

    @Test("who lost nothing stays in sync, but its leadership begins anew", arguments: [false, true])
    func complete(reconciledBefore: Bool) throws {
        var image = try image(isr: [1])
        image.stop(1)
        if reconciledBefore { image.reconcile() }
        image.start(1, isAdmitted: false)
        let admission = image.admit(1)
        #expect(admission?.record.isAdmitted == true && admission?.plan.lost == [])
        // One epoch for the end of the last life's leadership, one for this one's.
        #expect(image.state("sync") == "1/2/2 [1, 2, 3] isr [1]")
        #expect(image.reconcile().isEmpty)
    }

    @Test("who lost what was not synced leaves the sets of topics that do not sync, while another one stays")
    func unsynced() throws {
        var image = try image(isr: [1, 2])
        image.stop(1, 2)
        image.reconcile()
        image.start(1, loss: .unsynced, isAdmitted: false)
        let admission = image.admit(1)
        #expect(image.state("sync") == "1/2/2 [1, 2, 3] isr [1]")
        #expect(image.state("cache") == "-1/1/2 [1, 2, 3] isr [2]")
        #expect(admission?.plan.lost == [])
    }

    @Test("the last one stays although it lost, and that is told", arguments: [NodeRecord.Loss.unsynced, .everything])
    func last(loss: NodeRecord.Loss) throws {
        var image = try image(isr: [1])
        image.stop(1)
        image.start(1, loss: loss, isAdmitted: false)
        let admission = image.admit(1)
        let cache = PartitionReference(topic: "cache", partition: 0)
        let sync = PartitionReference(topic: "sync", partition: 0)
        #expect(admission?.plan.lost == (loss == .unsynced ? [cache] : [cache, sync]))
        #expect(image.state("cache") == "1/2/2 [1, 2, 3] isr [1]")
    }

    @Test("of several that lost, the one that lost least stays, whoever is admitted first", arguments: [0, 1])
    func order(first: Int) throws {
        for (losses, survivor): ([NodeRecord.Loss], Int32) in [
            ([.everything, .unsynced], 2), ([.unsynced, .everything], 1), ([.unsynced, .unsynced], 1),
            ([.everything, .nothing], 2),
        ] {
            for reconciles in [false, true] {
                var image = try image(isr: [1, 2])
                image.stop(1, 2)
                if reconciles { image.reconcile() }
                image.start(1, loss: losses[0], isAdmitted: false)
                image.start(2, loss: losses[1], isAdmitted: false)
                if reconciles { image.reconcile() }
                for id: Int32 in first == 0 ? [1, 2] : [2, 1] {
                    image.admit(id)
                    if reconciles { image.reconcile() }
                }
                let partition = image.topics["cache"]?.partitions[0]
                #expect(partition?.leader == survivor && partition?.inSyncReplicas == [survivor], "\(losses)")
            }
        }
    }
}
