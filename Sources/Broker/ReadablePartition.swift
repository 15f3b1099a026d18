import CommitLog
import KafkaProtocol
import Replication

/// A partition that can be read here: as its leader, or for readers that chose a replica close to them, as a follower
/// (KIP-392).
enum ReadablePartition {
    case leader(PartitionLeader)
    case follower(PartitionFollower)

    init?(_ topic: Topic?, _ partition: Int32, includingFollowers: Bool) {
        if let leader = topic?.leader(of: partition) {
            self = .leader(leader)
        } else if includingFollowers, let follower = topic?.follower(of: partition) {
            self = .follower(follower)
        } else {
            return nil
        }
    }

    var log: Log {
        switch self {
        case .leader(let leader): leader.log
        case .follower(let follower): follower.log
        }
    }

    var leaderEpoch: Int32 {
        switch self {
        case .leader(let leader): leader.leaderEpoch
        case .follower(let follower): follower.leaderEpoch
        }
    }

    var highWatermark: Int64 {
        switch self {
        case .leader(let leader): leader.highWatermark
        case .follower(let follower): follower.highWatermark
        }
    }

    var leader: PartitionLeader? {
        guard case .leader(let leader) = self else { return nil }
        return leader
    }

    /// As `PartitionLeader.end(ofEpoch:)`.
    func end(ofEpoch epoch: Int32) -> (epoch: Int32, offset: Int64)? {
        switch self {
        case .leader(let leader): leader.end(ofEpoch: epoch)
        case .follower(let follower): follower.log.endOffset(forEpoch: epoch).map { ($0.epoch, $0.startOffset) }
        }
    }

    func wait(_ waiter: PartitionWaiter) -> PartitionLeader.WaitOutcome {
        switch self {
        case .leader(let leader): leader.wait(waiter)
        case .follower(let follower): follower.wait(waiter)
        }
    }

    func stopWaiting(_ listener: any PartitionListener, connection: UInt64, slot: UInt64) {
        switch self {
        case .leader(let leader): leader.stopWaiting(listener, connection: connection, slot: slot)
        case .follower(let follower): follower.stopWaiting(listener, connection: connection, slot: slot)
        }
    }
}

extension ErrorCode {
    /// What is wrong with the leader epoch that a client believes in (KIP-320): NONE when it is the leader's, or -1 for
    /// a client that does not say.
    init(leaderEpoch: Int32, of partition: ReadablePartition) {
        self.init(leaderEpoch: leaderEpoch, current: partition.leaderEpoch)
    }

    init(leaderEpoch: Int32, of leader: PartitionLeader) {
        self.init(leaderEpoch: leaderEpoch, current: leader.leaderEpoch)
    }

    private init(leaderEpoch: Int32, current: Int32) {
        if leaderEpoch < 0 || leaderEpoch == current {
            self = .none
        } else {
            self = leaderEpoch < current ? .fencedLeaderEpoch : .unknownLeaderEpoch
        }
    }
}
