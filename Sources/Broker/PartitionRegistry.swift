import CommitLog
import KafkaProtocol
import Replication
import Synchronization

/// The partitions that this node leads, by their log: a sync that ended finds its partition here.
final class PartitionRegistry: Sendable {
    private struct Entry {
        var leader: PartitionLeader
        /// A topic that is made again under the same name is another.
        var topicId: Uuid
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var nextOrdinal = 0
    }

    private let state = Mutex(State())

    var all: [PartitionLeader] { state.withLock { $0.entries.values.map(\.leader) } }

    func leader(of log: Log) -> PartitionLeader? {
        state.withLock { $0.entries[ObjectIdentifier(log)]?.leader }
    }

    func topicId(of log: Log) -> Uuid? {
        state.withLock { $0.entries[ObjectIdentifier(log)]?.topicId }
    }

    func add(
        topic: String, id: Uuid, partition: Int32, log: Log, leaderEpoch: Int32, groupCommit: GroupCommit
    ) -> PartitionLeader {
        state.withLock { state in
            let leader = PartitionLeader(
                topic: topic, partition: partition, log: log, ordinal: state.nextOrdinal, leaderEpoch: leaderEpoch,
                groupCommit: groupCommit)
            state.nextOrdinal += 1
            state.entries[ObjectIdentifier(log)] = Entry(leader: leader, topicId: id)
            return leader
        }
    }

    func remove(_ leader: PartitionLeader) {
        state.withLock { $0.entries[ObjectIdentifier(leader.log)] = nil }
    }
}
