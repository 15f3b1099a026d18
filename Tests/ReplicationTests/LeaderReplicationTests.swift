import Replication
import TestSupport
import Testing

@Suite struct LeaderReplicationTests {
    private func leader(
        inSync: [Int32] = [1, 2, 3], logEnd: Int64 = 10, highWatermark: Int64 = 5, now: Int64 = 0
    ) -> LeaderReplication {
        LeaderReplication(
            nodeId: 1, replicas: [1, 2, 3], inSync: inSync, partitionEpoch: 7, localOffset: logEnd, logEnd: logEnd,
            highWatermark: highWatermark, now: now)
    }

    private func fetch(
        _ leader: inout LeaderReplication, _ replica: Int32, _ offset: Int64, end: Int64 = 10, now: Int64 = 0
    ) -> Bool {
        leader.fetched(by: replica, brokerEpoch: Int64(replica) * 10, from: offset, logEnd: end, now: now)
    }

    private func propose(_ leader: inout LeaderReplication, end: Int64 = 10, now: Int64) -> LeaderReplication.Proposal?
    {
        leader.propose(now: now, lagLimit: 100, logEnd: end) { _ in true }
    }

    @Test("the high watermark is what all in-sync replicas have, and nothing before they said so")
    func highWatermark() {
        var leader = leader()
        #expect(leader.highWatermark == 5)
        #expect(fetch(&leader, 2, 8))
        #expect(leader.highWatermark == 5)
        #expect(fetch(&leader, 3, 9))
        #expect(leader.highWatermark == 8)
        #expect(fetch(&leader, 2, 10))
        #expect(leader.highWatermark == 9)
    }

    @Test("what this node itself has not made durable is not committed, however far the others are")
    func localOffset() {
        var leader = LeaderReplication(
            nodeId: 1, replicas: [1, 2], inSync: [1, 2], partitionEpoch: 0, localOffset: 3, logEnd: 10,
            highWatermark: 0, now: 0)
        #expect(fetch(&leader, 2, 10))
        #expect(leader.highWatermark == 3)
        leader.localAdvanced(to: 10)
        #expect(leader.highWatermark == 10)
    }

    @Test("it never goes back, also when a follower starts anew with less")
    func monotonic() {
        var leader = leader()
        #expect(fetch(&leader, 2, 10) && fetch(&leader, 3, 10))
        #expect(leader.highWatermark == 10)
        #expect(fetch(&leader, 2, 4))
        #expect(leader.highWatermark == 10)
    }

    @Test("somebody who is no replica changes nothing")
    func stranger() {
        var leader = leader()
        #expect(!fetch(&leader, 9, 10))
        #expect(leader.followers.keys.sorted() == [2, 3])
    }

    @Test("a member that falls behind is proposed to leave, and counts until the controller has agreed")
    func shrink() throws {
        var leader = leader()
        #expect(fetch(&leader, 2, 10, now: 50) && fetch(&leader, 3, 6, now: 50))
        #expect(propose(&leader, now: 100) == nil)
        let proposal = try #require(propose(&leader, now: 101))
        #expect(proposal.nodeIds == [1, 2])
        #expect(proposal.partitionEpoch == 7)
        #expect(leader.highWatermark == 6)
        #expect(propose(&leader, now: 500) == nil, "one question at a time")
        leader.holds(replicas: [1, 2, 3], inSync: [1, 2], partitionEpoch: 8, now: 500)
        #expect(leader.highWatermark == 10)
    }

    @Test("a member that keeps up with a busy leader stays, though it never has all")
    func keepsUp() {
        var leader = leader()
        var end: Int64 = 10
        for step in 1...20 {
            // It asks for what was there at its last fetch, and more has come since.
            #expect(fetch(&leader, 2, end, end: end + 5, now: Int64(step) * 40))
            #expect(fetch(&leader, 3, end + 5, end: end + 5, now: Int64(step) * 40))
            end += 5
            #expect(propose(&leader, end: end, now: Int64(step) * 40) == nil)
        }
    }

    @Test(
        "a replica joins when it has all that is committed and all of this epoch's beginning; from the question on it counts"
    )
    func grow() throws {
        var leader = leader(inSync: [1, 2], logEnd: 10, highWatermark: 5)
        #expect(fetch(&leader, 2, 8))
        #expect(leader.highWatermark == 8)
        #expect(fetch(&leader, 3, 9))
        #expect(propose(&leader, now: 1) == nil, "it may lack what the leader began with")
        #expect(fetch(&leader, 3, 10))
        let proposal = try #require(propose(&leader, now: 1))
        #expect(proposal.members.map(\.nodeId) == [1, 2, 3])
        #expect(proposal.members.map(\.brokerEpoch) == [-1, 20, 30])
        leader.localAdvanced(to: 20)
        #expect(fetch(&leader, 2, 20, end: 20))
        #expect(leader.highWatermark == 10, "the controller may have taken it by now")
        leader.holds(replicas: [1, 2, 3], inSync: [1, 2, 3], partitionEpoch: 8, now: 2)
        #expect(fetch(&leader, 3, 15, end: 20))
        #expect(leader.highWatermark == 15)
    }

    @Test("who may not be in the set is not proposed")
    func ineligible() {
        var leader = leader(inSync: [1, 2])
        #expect(fetch(&leader, 2, 10) && fetch(&leader, 3, 10))
        #expect(leader.propose(now: 1, lagLimit: 100, logEnd: 10) { $0 != 3 } == nil)
    }

    @Test("a refusal of the only sending ends the proposal")
    func refused() throws {
        var leader = leader(inSync: [1, 2], highWatermark: 10)
        #expect(fetch(&leader, 2, 10) && fetch(&leader, 3, 10))
        let proposal = try #require(propose(&leader, now: 1))
        leader.localAdvanced(to: 12)
        #expect(fetch(&leader, 2, 12, end: 12))
        #expect(leader.highWatermark == 10)
        leader.refused(proposal, wasSentBefore: false)
        #expect(leader.highWatermark == 12)
        #expect(leader.proposal == nil)
    }

    @Test("a refusal after a sending without an answer makes that one outdated before it is forgotten")
    func refusedLate() throws {
        var leader = leader(inSync: [1, 2], highWatermark: 10)
        #expect(fetch(&leader, 2, 10) && fetch(&leader, 3, 10))
        let proposal = try #require(propose(&leader, now: 1))
        leader.localAdvanced(to: 12)
        #expect(fetch(&leader, 2, 12, end: 12))
        leader.refused(proposal, wasSentBefore: true)
        #expect(leader.highWatermark == 10)
        #expect(leader.proposal?.nodeIds == [1, 2])
        leader.holds(replicas: [1, 2, 3], inSync: [1, 2], partitionEpoch: 8, now: 3)
        #expect(leader.highWatermark == 12)
    }

    @Test("old news change nothing")
    func oldNews() {
        var leader = leader()
        leader.holds(replicas: [1], inSync: [1], partitionEpoch: 7, now: 0)
        #expect(leader.inSync == [1, 2, 3])
        #expect(leader.highWatermark == 5)
    }

    /// Any order of fetches, answers and lost answers: what is committed is at every member of the set that holds, as the
    /// controller sees it, which may be one that the leader has not heard of.
    @Test("what is committed is at all members of the controller's set", arguments: 0..<200)
    func commitment(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var end: Int64 = 10
        var held: [Int32: Int64] = [1: end, 2: 10, 3: 10]
        var controller: (inSync: [Int32], epoch: Int32) = ([1, 2, 3], 0)
        var leader = LeaderReplication(
            nodeId: 1, replicas: [1, 2, 3], inSync: controller.inSync, partitionEpoch: 0, localOffset: end, logEnd: end,
            highWatermark: 10, now: 0)
        var travelling: [LeaderReplication.Proposal] = []
        var sendings = 0
        for step in 0..<300 {
            let now = Int64(step) * 10
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                end += Int64.random(in: 1...5, using: &random)
                held[1] = end
                leader.localAdvanced(to: end)
            case 1, 2, 3:
                let follower = Int32.random(in: 2...3, using: &random)
                _ = leader.fetched(by: follower, brokerEpoch: 0, from: held[follower]!, logEnd: end, now: now)
                held[follower] = Int64.random(in: held[follower]!...end, using: &random)
            case 4:
                let new = leader.propose(now: now, lagLimit: 100, logEnd: end) { _ in true }
                if new != nil { sendings = 0 }
                if let proposal = new ?? leader.proposal {
                    sendings += 1
                    travelling.append(proposal)
                }
            case 5:
                // It arrives, in any order, and its answer is lost.
                guard let proposal = travelling.randomElement(using: &random) else { continue }
                if proposal.partitionEpoch == controller.epoch {
                    controller = (proposal.nodeIds, controller.epoch + 1)
                }
            case 6:
                // The controller refuses what is on the way now.
                guard let proposal = leader.proposal, proposal.nodeIds != controller.inSync else { continue }
                leader.refused(proposal, wasSentBefore: sendings > 0)
                sendings = 0
            default:
                leader.holds(
                    replicas: [1, 2, 3], inSync: controller.inSync, partitionEpoch: controller.epoch, now: now)
            }
            for member in controller.inSync {
                #expect(held[member]! >= leader.highWatermark, "seed \(seed) step \(step)")
            }
        }
    }
}
