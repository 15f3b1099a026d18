import ClusterMetadata
import CommitLog
import CoordinatorCore
import KafkaProtocol
import Replication
import TransactionCoordinator

/// Writes the end of a transaction to partitions.
struct TransactionEndWriter: Sendable {
    private unowned let broker: Broker

    init(_ broker: Broker) {
        self.broker = broker
    }

    /// Tells, on any thread, when the end is on stable storage, or why it is not.
    func write(
        _ end: TransactionEnd, to partition: TransactionPartition, done: @escaping @Sendable (ErrorCode) -> Void
    ) {
        guard let topic = broker.topics.topic(named: partition.topic),
            let leader = topic.leader(of: partition.partition)
        else {
            done(.unknownTopicOrPartition)
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
        switch leader.append(.endOfTransaction(end), now: broker.clock.wallMilliseconds) {
        case .appended(let offset, _):
            let listener = DurabilityListener(done)
            let waiter = PartitionWaiter(offset: offset + 1, listener: listener, connection: 0, slot: 0, index: 0)
            // Whatever the topic's durability: nobody writes it again once the coordinator believes that it is there.
            switch leader.waitUntilDurable(waiter) {
            case .waiting: break
            case .reached: done(.none)
            case .failed: done(.kafkaStorageError)
            }
        case .refused(let refusal): done(ErrorCode(refusal))
        case .duplicate, .pending: preconditionFailure("a marker has no sequence number")
        }
    }
}

/// Waits for one batch, held by the partition that it waits at.
private final class DurabilityListener: PartitionListener {
    private let done: @Sendable (ErrorCode) -> Void

    init(_ done: @escaping @Sendable (ErrorCode) -> Void) {
        self.done = done
    }

    func wake(_ waiter: PartitionWaiter, failed: Bool) {
        done(failed ? .kafkaStorageError : .none)
    }
}
