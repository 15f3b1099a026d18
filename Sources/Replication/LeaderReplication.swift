/// What the leader of a partition knows of its replicas, and what follows from it: how far records are committed, and
/// who should be in the in-sync set. A plain state machine; times are monotonic milliseconds.
///
/// The high watermark is the smallest offset that all in-sync replicas have reached. The set belongs to the controller:
/// the leader proposes another one and goes on with what surely holds. As long as it is not known what became of a
/// proposal, the high watermark waits for the members of both sets: whichever holds, every member has what is committed.
package struct LeaderReplication: Sendable {
    package struct Follower: Sendable, Equatable {
        /// Below this the follower has everything, where the topic's durability wants it; -1 until it has fetched.
        package var endOffset: Int64 = -1
        /// Of the life of the broker that fetched last.
        package var brokerEpoch: Int64 = -1
        /// When it last had everything that the leader had.
        package var lastCaughtUp: Int64
        package var lastFetch: Int64
        /// The leader's end at that fetch.
        package var leaderEndAtLastFetch: Int64
    }

    /// Another in-sync set that the controller is asked for.
    package struct Proposal: Sendable, Equatable {
        package var members: [Member]
        /// The state that it starts from; the controller refuses it when there is a later one.
        package var partitionEpoch: Int32

        package struct Member: Sendable, Equatable {
            package var nodeId: Int32
            package var brokerEpoch: Int64
        }

        package var nodeIds: [Int32] { members.map(\.nodeId) }
    }

    package let nodeId: Int32
    package private(set) var followers: [Int32: Follower]
    package private(set) var inSync: [Int32]
    package private(set) var proposal: Proposal?
    /// Who may be in the set by a proposal whose fate was never learnt.
    private var uncertain: Set<Int32> = []
    package private(set) var partitionEpoch: Int32
    package private(set) var highWatermark: Int64
    private var localOffset: Int64
    /// Where this leader's epoch began: who has less may miss records of it.
    package let epochStart: Int64

    /// `localOffset` is what this node itself has, where the topic's durability wants it.
    package init(
        nodeId: Int32, replicas: [Int32], inSync: [Int32], partitionEpoch: Int32, localOffset: Int64, logEnd: Int64,
        highWatermark: Int64, now: Int64
    ) {
        self.nodeId = nodeId
        self.inSync = inSync
        self.partitionEpoch = partitionEpoch
        self.localOffset = localOffset
        self.highWatermark = highWatermark
        epochStart = logEnd
        followers = [:]
        for replica in replicas where replica != nodeId {
            followers[replica] = Follower(lastCaughtUp: now, lastFetch: now, leaderEndAtLastFetch: 0)
        }
        advance()
    }

    // MARK: Progress

    /// This node has everything below the offset.
    package mutating func localAdvanced(to offset: Int64) {
        localOffset = max(localOffset, offset)
        advance()
    }

    /// A follower asks for what comes at `offset`: it has everything below. Returns whether it is a replica at all.
    package mutating func fetched(
        by replica: Int32, brokerEpoch: Int64, from offset: Int64, logEnd: Int64, now: Int64
    ) -> Bool {
        guard var follower = followers[replica] else { return false }
        // Of a former life, late: what that had this one may lack.
        if brokerEpoch >= 0, brokerEpoch < follower.brokerEpoch { return true }
        // It caught up now, or at its last fetch, if it has by now what the leader had then.
        if offset >= logEnd {
            follower.lastCaughtUp = now
        } else if follower.endOffset >= 0, offset >= follower.leaderEndAtLastFetch {
            follower.lastCaughtUp = max(follower.lastCaughtUp, follower.lastFetch)
        }
        follower.endOffset = offset
        follower.brokerEpoch = brokerEpoch
        follower.lastFetch = now
        follower.leaderEndAtLastFetch = logEnd
        followers[replica] = follower
        advance()
        return true
    }

    private mutating func advance() {
        var reached = localOffset
        for member in inSync where member != nodeId { reached = min(reached, followers[member]?.endOffset ?? -1) }
        for member in proposal?.nodeIds ?? [] where member != nodeId {
            reached = min(reached, followers[member]?.endOffset ?? -1)
        }
        for member in uncertain where member != nodeId {
            reached = min(reached, followers[member]?.endOffset ?? -1)
        }
        // A follower that starts anew may have less; what is committed stays committed.
        highWatermark = max(highWatermark, reached)
    }

    // MARK: The in-sync set

    /// Whether a replica may join: it has all that is committed, and all that was there when this epoch began.
    private func isCaughtUp(_ follower: Follower) -> Bool {
        follower.endOffset >= highWatermark && follower.endOffset >= epochStart
    }

    /// The in-sync set that there should be, if it is another than there is and the controller is not being asked
    /// already. `isEligible` tells which brokers may be in it. Members without progress for longer than `lagLimit`
    /// milliseconds leave; replicas that have caught up join.
    package mutating func propose(
        now: Int64, lagLimit: Int64, logEnd: Int64, isEligible: (Int32) -> Bool
    ) -> Proposal? {
        guard proposal == nil else { return nil }
        // All are in, and all have all: nothing is to be done, nearly always.
        if inSync.count == followers.count + 1, followers.values.allSatisfy({ $0.endOffset >= logEnd }) { return nil }
        var members = inSync.filter { member in
            guard member != nodeId, let follower = followers[member] else { return true }
            let isBehind = follower.endOffset < logEnd || follower.endOffset < 0
            return !isBehind || now - follower.lastCaughtUp <= lagLimit
        }
        for (replica, follower) in followers.sorted(by: { $0.key < $1.key })
        where !members.contains(replica) && !inSync.contains(replica) && isCaughtUp(follower) && isEligible(replica) {
            members.append(replica)
        }
        guard members != inSync else { return nil }
        let proposed = Proposal(
            members: members.map(member), partitionEpoch: partitionEpoch)
        proposal = proposed
        return proposed
    }

    /// The controller did not take the proposal. If it was sent before without an answer, an earlier sending may yet
    /// arrive: then the set that holds is proposed once more, which makes every earlier proposal outdated.
    package mutating func refused(_ refused: Proposal, wasSentBefore: Bool) {
        guard proposal == refused else { return }
        guard wasSentBefore else {
            proposal = nil
            advance()
            return
        }
        uncertain.formUnion(refused.nodeIds)
        proposal = Proposal(members: inSync.map(member), partitionEpoch: partitionEpoch)
    }

    private func member(_ nodeId: Int32) -> Proposal.Member {
        Proposal.Member(nodeId: nodeId, brokerEpoch: followers[nodeId]?.brokerEpoch ?? -1)
    }

    /// What holds, as the controller says it. Older news change nothing. Replicas that are new have to catch up.
    package mutating func holds(replicas: [Int32], inSync: [Int32], partitionEpoch: Int32, now: Int64) {
        guard partitionEpoch > self.partitionEpoch else { return }
        self.partitionEpoch = partitionEpoch
        self.inSync = inSync
        // What was proposed started from an older state, so it is taken or never will be.
        proposal = nil
        uncertain = []
        followers = followers.filter { replicas.contains($0.key) }
        for replica in replicas where replica != nodeId && followers[replica] == nil {
            followers[replica] = Follower(lastCaughtUp: now, lastFetch: now, leaderEndAtLastFetch: 0)
        }
        advance()
    }
}
