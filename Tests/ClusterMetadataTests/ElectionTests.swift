import Configuration
import TestSupport
import Testing

@testable import ClusterMetadata

@Suite struct ElectionTests {
    private func image(
        _ partition: PartitionMetadata = .led(1, 2, 3), unclean: Bool = false
    ) throws -> MetadataImage {
        var image = MetadataImage(brokers: 1...3)
        try image.add("t", unclean ? ["unclean.leader.election.enable": "true"] : [:], [partition])
        return image
    }

    @Test("nothing changes while all are there")
    func quiet() throws {
        var image = try image()
        #expect(image.reconcile().isEmpty)
    }

    @Test("the first in-sync replica that is there follows a leader that went")
    func leaderGone() throws {
        var image = try image()
        image.stop(1)
        let plan = image.reconcile()
        #expect(image.state() == "2/1/1 [1, 2, 3] isr [2, 3]")
        #expect(plan.newLeaders == 1 && plan.shrunk == 1 && plan.leaderless == 0 && plan.uncleanElections.isEmpty)
    }

    @Test("a follower that went leaves the in-sync set, and the epoch of the leader stays")
    func followerGone() throws {
        var image = try image()
        image.start(3, isAdmitted: false)
        image.reconcile()
        #expect(image.state() == "1/0/1 [1, 2, 3] isr [1, 2]")
    }

    @Test("a replica out of sync does not lead; all that were in sync may when they return")
    func allGone() throws {
        var image = try image(.led(1, 2, 3, isr: [1, 2]))
        image.stop(1, 2)
        let plan = image.reconcile()
        #expect(image.state() == "-1/1/1 [1, 2, 3] isr [1, 2]")
        #expect(plan.leaderless == 1 && plan.shrunk == 0)
        #expect(image.reconcile().isEmpty)
        image.start(2)
        image.reconcile()
        #expect(image.state() == "2/2/2 [1, 2, 3] isr [2]")
    }

    @Test("where it is allowed a replica out of sync leads, and that is told")
    func unclean() throws {
        var image = try image(.led(1, 2, 3, isr: [1]), unclean: true)
        image.stop(1)
        let plan = image.reconcile()
        #expect(image.state() == "2/1/1 [1, 2, 3] isr [2]")
        #expect(plan.uncleanElections == [PartitionReference(topic: "t", partition: 0)])
    }

    @Test("the brokers' default decides where the topic says nothing")
    func uncleanDefault() throws {
        var image = try image(.led(1, 2, 3, isr: [1]))
        image.stop(1)
        let defaults = try BrokerConfiguration(
            propertiesText: nil, overrides: ["unclean.leader.election.enable=true"])
        #expect(image.electionChanges(defaults: defaults).uncleanElections.count == 1)
    }

    @Test("a broker that is about to stop gives its leaderships to others in sync")
    func shutdown() throws {
        var image = try image()
        image.brokers[1]?.isShuttingDown = true
        image.reconcile()
        #expect(image.state() == "2/1/1 [1, 2, 3] isr [2, 3]")
    }

    @Test("a broker that is about to stop leads on while nobody else is in sync", arguments: [false, true])
    func lastBeforeShutdown(unclean: Bool) throws {
        var image = try image(.led(1, 2, 3, isr: [1]), unclean: unclean)
        image.brokers[1]?.isShuttingDown = true
        #expect(image.reconcile().isEmpty)
        image.stop(1)
        image.reconcile()
        #expect(image.state() == (unclean ? "2/1/1 [1, 2, 3] isr [2]" : "-1/1/1 [1, 2, 3] isr [1]"))
    }

    @Test("a leader that is about to stop need not wait for those that are away")
    func shutdownWithoutFollowers() throws {
        var image = try image()
        image.brokers[1]?.isShuttingDown = true
        image.brokers[2]?.isShuttingDown = true
        image.stop(3)
        image.reconcile()
        #expect(image.state() == "1/0/1 [1, 2, 3] isr [1, 2]")
    }
}
