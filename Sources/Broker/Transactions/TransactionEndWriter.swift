import ClusterMetadata
import CommitLog
import CoordinatorCore
import KafkaProtocol
import Replication
import TransactionCoordinator

/// Writes the end of a transaction to partitions, here and where other nodes lead them.
struct TransactionEndWriter: Sendable {
    private unowned let broker: Broker

    init(_ broker: Broker) {
        self.broker = broker
    }

    /// Tells, on any thread, what became of the end at each partition.
    func write(
        _ end: TransactionEnd, to partitions: [TransactionPartition],
        done: @escaping @Sendable ([ErrorCode]) -> Void
    ) {
        let gathering = Gathering<ErrorCode>(count: partitions.count, done)
        let image = broker.cluster.image
        var remote: [Int32: [(index: Int, partition: TransactionPartition)]] = [:]
        for (index, partition) in partitions.enumerated() {
            let leader = image.leader(of: partition.topic, partition.partition)
            if let leader, leader >= 0, leader != broker.cluster.nodeId {
                remote[leader, default: []].append((index, partition))
            } else {
                writeHere(end, to: partition) { gathering.add($0, at: index) }
            }
        }
        for (node, parts) in remote {
            RemoteTransactions(broker).write(end, to: parts.map(\.partition), at: node) { codes in
                for (part, code) in zip(parts, codes) { gathering.add(code, at: part.index) }
            }
        }
    }

    /// Tells, on any thread, when the end is committed and on stable storage, or why it is not.
    func writeHere(
        _ end: TransactionEnd, to partition: TransactionPartition, done: @escaping @Sendable (ErrorCode) -> Void
    ) {
        guard let topic = broker.topics.topic(named: partition.topic) else {
            done(.unknownTopicOrPartition)
            return
        }
        guard let leader = topic.leader(of: partition.partition) else {
            done(topic.refusal(of: partition.partition))
            return
        }
        switch partition.topic {
        case InternalTopic.consumerOffsets: writeToGroups(end, partition.partition, done)
        // The coordinator's own log, which it alone writes, has no transactions.
        case InternalTopic.transactionState: done(.invalidTopicException)
        default: append(end, to: leader, done)
        }
    }

    /// The partition's groups must learn of it, in the log's order.
    private func writeToGroups(
        _ end: TransactionEnd, _ partition: Int32, _ done: @escaping @Sendable (ErrorCode) -> Void
    ) {
        guard let shard = broker.groups.shards[partition] else {
            done(.coordinatorNotAvailable)
            return
        }
        let context = CoordinatorRequestContext(apiVersion: 0, clientId: "", clientHost: "")
        shard.handle(.endTransaction(end), context) { response in
            guard case .endTransaction(let code) = response else {
                preconditionFailure("the coordinator answered another request than was asked")
            }
            done(code)
        }
    }

    private func append(
        _ end: TransactionEnd, to leader: PartitionLeader, _ done: @escaping @Sendable (ErrorCode) -> Void
    ) {
        guard leader.inSyncCount >= leader.minimumInSyncReplicas else {
            done(.notEnoughReplicas)
            return
        }
        switch leader.append(.endOfTransaction(end), now: broker.clock.wallMilliseconds) {
        case .appended(let offset, _):
            // Whatever the topic's durability: nobody writes it again once the coordinator believes that it is there.
            let listener = CommitListener(offset: offset + 1, leader: leader) { result in
                done(ErrorCode(result) ?? .none)
            }
            listener.begin()
        case .refused(let refusal): done(ErrorCode(refusal))
        case .duplicate, .pending: preconditionFailure("a marker has no sequence number")
        }
    }
}

/// Waits until one batch is committed, and then until it is on stable storage here; held by the partition that it waits
/// at.
private final class CommitListener: PartitionListener {
    private let offset: Int64
    private let leader: PartitionLeader
    private let done: @Sendable (WaitResult) -> Void

    private enum Stage {
        static let commit: UInt64 = 0
        static let stableStorage: UInt64 = 1
    }

    init(offset: Int64, leader: PartitionLeader, _ done: @escaping @Sendable (WaitResult) -> Void) {
        self.offset = offset
        self.leader = leader
        self.done = done
    }

    func begin() {
        let waiter = PartitionWaiter(offset: offset, listener: self, connection: 0, slot: Stage.commit, index: 0)
        if case .over(let result) = leader.wait(waiter) { wake(waiter, result) }
    }

    func wake(_ waiter: PartitionWaiter, _ result: WaitResult) {
        switch result {
        // It is committed, and stays, whatever the number of replicas.
        case .reached, .reachedWithTooFewReplicas:
            guard waiter.slot == Stage.commit else {
                done(.reached)
                return
            }
            let next = PartitionWaiter(
                offset: offset, listener: self, connection: 0, slot: Stage.stableStorage, index: 0)
            if case .over(let result) = leader.waitUntilDurable(next) { wake(next, result) }
        case .notLeader, .failed: done(result)
        }
    }
}
