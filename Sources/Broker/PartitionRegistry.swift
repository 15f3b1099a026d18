import CommitLog
import KafkaProtocol
import Replication
import Synchronization

/// The partitions that this node leads, by their log: a sync that ended finds its partition here.
final class PartitionRegistry: Sendable {
    private struct State {
        var leaders: [ObjectIdentifier: PartitionLeader] = [:]
        /// Which topic each is of: a topic that is made again under the same name is another.
        var topicIds: [ObjectIdentifier: Uuid] = [:]
        var nextOrdinal = 0
    }

    private let state = Mutex(State())

    var all: [PartitionLeader] { state.withLock { Array($0.leaders.values) } }

    func leader(of log: Log) -> PartitionLeader? {
        state.withLock { $0.leaders[ObjectIdentifier(log)] }
    }

    func topicId(of log: Log) -> Uuid? {
        state.withLock { $0.topicIds[ObjectIdentifier(log)] }
    }

    func add(
        topic: String, id: Uuid, partition: Int32, log: Log, leaderEpoch: Int32, groupCommit: GroupCommit
    ) -> PartitionLeader {
        state.withLock { state in
            let leader = PartitionLeader(
                topic: topic, partition: partition, log: log, ordinal: state.nextOrdinal, leaderEpoch: leaderEpoch,
                groupCommit: groupCommit)
            state.nextOrdinal += 1
            state.leaders[ObjectIdentifier(log)] = leader
            state.topicIds[ObjectIdentifier(log)] = id
            return leader
        }
    }

    func remove(_ leader: PartitionLeader) {
        state.withLock { state in
            state.leaders[ObjectIdentifier(leader.log)] = nil
            state.topicIds[ObjectIdentifier(leader.log)] = nil
        }
    }
}
