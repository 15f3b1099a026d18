import CommitLog
import KafkaProtocol
import Replication
import Synchronization

/// What this node does with the partitions that it has, by their logs: a sync that ended finds its partition here.
final class PartitionRegistry: Sendable {
    enum Role: Sendable {
        case leader(PartitionLeader)
        case follower(PartitionFollower)

        func synchronized(to offset: Int64) {
            switch self {
            case .leader(let leader): leader.synchronized(to: offset)
            case .follower(let follower): follower.synchronized(to: offset)
            }
        }

        func end(_ result: WaitResult) {
            switch self {
            case .leader(let leader): leader.end(result)
            case .follower(let follower): follower.end(result)
            }
        }

        var log: Log {
            switch self {
            case .leader(let leader): leader.log
            case .follower(let follower): follower.log
            }
        }
    }

    private struct Entry {
        /// A log keeps its number over all roles.
        var ordinal: Int
        /// A topic that is made again under the same name is another.
        var topicId: Uuid
        var role: Role?
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var nextOrdinal = 0
    }

    private let state = Mutex(State())

    /// In the order in which the partitions were entered.
    var roles: [Role] {
        state.withLock { $0.entries.values.sorted { $0.ordinal < $1.ordinal }.compactMap(\.role) }
    }

    var leaders: [PartitionLeader] {
        roles.compactMap { role in
            guard case .leader(let leader) = role else { return nil }
            return leader
        }
    }

    func role(of log: Log) -> Role? {
        state.withLock { $0.entries[ObjectIdentifier(log)]?.role }
    }

    func topicId(of log: Log) -> Uuid? {
        state.withLock { $0.entries[ObjectIdentifier(log)]?.topicId }
    }

    /// The log's number, for which it may have to be entered; and whether it was.
    func ordinal(of log: Log, topicId: Uuid) -> (ordinal: Int, isNew: Bool) {
        state.withLock { state in
            if let entry = state.entries[ObjectIdentifier(log)] { return (entry.ordinal, false) }
            let ordinal = state.nextOrdinal
            state.nextOrdinal += 1
            state.entries[ObjectIdentifier(log)] = Entry(ordinal: ordinal, topicId: topicId, role: nil)
            return (ordinal, true)
        }
    }

    /// Puts the role in place of the one before, which is returned.
    func set(_ role: Role) -> Role? {
        state.withLock { state in
            let before = state.entries[ObjectIdentifier(role.log)]?.role
            state.entries[ObjectIdentifier(role.log)]?.role = role
            return before
        }
    }

    func remove(_ log: Log) -> Role? {
        state.withLock { $0.entries.removeValue(forKey: ObjectIdentifier(log))?.role }
    }
}
