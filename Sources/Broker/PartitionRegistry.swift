import CommitLog
import Replication
import Synchronization

/// The partitions that this node leads, by their log: a sync that ended finds its partition here.
final class PartitionRegistry: Sendable {
    private struct State {
        var leaders: [ObjectIdentifier: PartitionLeader] = [:]
        var nextOrdinal = 0
    }

    private let state = Mutex(State())

    var all: [PartitionLeader] { state.withLock { Array($0.leaders.values) } }

    func leader(of log: Log) -> PartitionLeader? {
        state.withLock { $0.leaders[ObjectIdentifier(log)] }
    }

    func add(topic: String, partition: Int32, log: Log, leaderEpoch: Int32, groupCommit: GroupCommit) -> PartitionLeader
    {
        state.withLock { state in
            let leader = PartitionLeader(
                topic: topic, partition: partition, log: log, ordinal: state.nextOrdinal, leaderEpoch: leaderEpoch,
                groupCommit: groupCommit)
            state.nextOrdinal += 1
            state.leaders[ObjectIdentifier(log)] = leader
            return leader
        }
    }

    func remove(_ leader: PartitionLeader) {
        state.withLock { $0.leaders[ObjectIdentifier(leader.log)] = nil }
    }
}
