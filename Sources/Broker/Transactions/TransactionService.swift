import ClusterMetadata
import Configuration
import CoordinatorCore
import KafkaProtocol
import TransactionCoordinator

typealias TransactionShard = CoordinatorShard<TransactionCoordinatorShard>

/// The transactions: a shard of the coordinator for each partition of `__transaction_state`.
package final class TransactionService: Sendable {
    /// Between two attempts to write an end to a partition that could not take it; doubled each time.
    private static let firstRetryMilliseconds: Int64 = 100
    private static let longestRetryMilliseconds: Int64 = 10_000

    private unowned let broker: Broker
    let shards: CoordinatorTopic<TransactionCoordinatorShard>
    /// As for groups, a thread of their own.
    private let timers: any WorkQueue

    init(broker: Broker) {
        self.broker = broker
        timers = broker.environment.makeQueue("martlet.transaction-timers")
        shards = CoordinatorTopic(InternalTopic.transactionState, broker: broker)
    }

    /// This node leads other partitions than before.
    func rolesChanged() {
        shards.rolesChanged(
            TransactionShard.Role(
                makeMachine: { [unowned self] leader in
                    TransactionCoordinatorShard(configuration: configuration, coordinatorEpoch: leader.leaderEpoch)
                },
                prepare: { _, _, _ in },
                perform: { [unowned self] effect, machine in
                    switch effect {
                    case .allocateProducerId(let ticket): allocateProducerId(ticket, for: machine)
                    case .writeMarkers(let markers): write(markers, for: machine)
                    }
                },
                timers: timers))
    }

    func stop() {
        shards.stop()
        timers.stop()
    }

    private var configuration: TransactionConfiguration {
        let broker = broker.configuration
        var configuration = TransactionConfiguration()
        configuration.transactionMaxTimeoutMs = Int32(broker.int("transaction.max.timeout.ms"))
        configuration.transactionalIdExpirationMs = broker.long("transactional.id.expiration.ms")
        configuration.expirationCheckIntervalMs = broker.long(
            "transaction.remove.expired.transaction.cleanup.interval.ms")
        return configuration
    }

    /// The latest epoch of a coordinator that this node knows of.
    var coordinatorEpoch: Int32 {
        broker.cluster.image.topic(named: shards.name)?.partitions.map(\.leaderEpoch).max() ?? 0
    }

    // MARK: Admission

    /// How partitions come into a transaction.
    enum Admission {
        /// The client has added them; that is confirmed.
        case verified
        /// They are added by being used (KIP-890).
        case implicitlyAdded
    }

    /// Whether a producer may write to the partitions in its transaction. `reply` gets a code for each, on any thread.
    func admit(
        _ transactionalId: String, _ producer: TransactionalProducer, _ partitions: [TransactionPartition],
        as admission: Admission, _ context: CoordinatorRequestContext,
        reply: @escaping @Sendable ([ErrorCode]) -> Void
    ) {
        if let node = shards.node(of: transactionalId), node != broker.cluster.nodeId {
            RemoteTransactions(broker).admit(
                transactionalId, producer, partitions, as: admission, at: node, reply: reply)
            return
        }
        let request: TransactionRequest
        switch admission {
        case .verified:
            request = .verifyPartitions(transactionalId: transactionalId, producer: producer, partitions: partitions)
        case .implicitlyAdded:
            request = .addPartitions(
                transactionalId: transactionalId, producer: producer, partitions: partitions, transactionVersion: 2)
        }
        shards.ask(transactionalId, request, context) { response in
            reply(response.codes(count: partitions.count))
        }
    }

    // MARK: Effects

    private func allocateProducerId(_ ticket: ProducerIdTicket, for machine: TransactionShard.MachineReference) {
        if let id = broker.producerIds.next() {
            machine.update { $0.producerIdAllocated(ticket, .success(id), now: $1, into: &$2) }
            return
        }
        broker.control.enqueue { [unowned broker] in
            let result: Result<Int64, ProducerIdError>
            do throws(MetadataStoreError) {
                result = .success(try broker.producerIds.nextFromNewBlock(broker.cluster))
            } catch {
                broker.logger.error("transactions.no-producer-id", metadata: ["error": "\(error)"])
                result = .failure(ProducerIdError(code: ErrorCode(error)))
            }
            machine.update { $0.producerIdAllocated(ticket, result, now: $1, into: &$2) }
        }
    }

    /// Writes the ends to all partitions, again and again where it fails: a decided transaction is carried out.
    private func write(_ markers: TransactionMarkers, for machine: TransactionShard.MachineReference) {
        TransactionEndWriter(broker).write(markers.end, to: markers.partitions) { [unowned self] codes in
            let failed = zip(markers.partitions, codes).filter { !isSettled($0.1, markers, $0.0) }
            if failed.isEmpty {
                machine.update { $0.markersWritten(markers.ticket, now: $1, into: &$2) }
                return
            }
            let delay = min(Self.firstRetryMilliseconds << min(markers.attempts, 16), Self.longestRetryMilliseconds)
            timers.schedule(afterMilliseconds: delay) {
                var rest = markers
                rest.partitions = failed.map(\.0)
                rest.attempts += 1
                machine.perform(again: .writeMarkers(rest))
            }
        }
    }

    /// Whether nothing more is to be done at the partition.
    private func isSettled(
        _ code: ErrorCode, _ markers: TransactionMarkers, _ partition: TransactionPartition
    ) -> Bool {
        switch code {
        case .none:
            return true
        case .unknownTopicOrPartition where !broker.hasPartition(partition.topic, partition.partition):
            // A topic that is gone has no transaction to end.
            return true
        case .invalidProducerEpoch:
            // The partition has seen a later life of the producer, which began only after this transaction had ended.
            broker.logger.warning(
                "transactions.marker-refused",
                metadata: [
                    "partition": "\(partition.topic)-\(partition.partition)", "error": "\(code)",
                    "producer.id": "\(markers.end.producerId)", "producer.epoch": "\(markers.end.producerEpoch)",
                ])
            return true
        default:
            broker.logger.log(
                level: code == .coordinatorLoadInProgress ? .debug : .warning, "transactions.marker-delayed",
                metadata: ["partition": "\(partition.topic)-\(partition.partition)", "error": "\(code)"])
            return false
        }
    }
}
