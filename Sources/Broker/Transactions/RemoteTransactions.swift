import ClusterMetadata
import CoordinatorCore
import KafkaProtocol
import TransactionCoordinator

/// What brokers ask each other for transactions: a partition's leader asks the coordinator whether a producer may write,
/// and the coordinator has ends written by the partitions' leaders.
struct RemoteTransactions: Sendable {
    private static let timeoutMilliseconds: Int64 = 10_000

    private unowned let broker: Broker

    init(_ broker: Broker) {
        self.broker = broker
    }

    func admit(
        _ transactionalId: String, _ producer: TransactionalProducer, _ partitions: [TransactionPartition],
        as admission: TransactionService.Admission, at node: Int32, reply: @escaping @Sendable ([ErrorCode]) -> Void
    ) {
        var transaction = AddPartitionsToTxnRequest.AddPartitionsToTxnTransaction()
        transaction.transactionalId = transactionalId
        transaction.producerId = producer.id
        transaction.producerEpoch = producer.epoch
        transaction.verifyOnly = admission == .verified
        transaction.topics = RemoteTransactions.byTopic(partitions).map { name, indexes in
            var topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            topic.name = name
            topic.partitions = indexes
            return topic
        }
        var request = AddPartitionsToTxnRequest()
        request.transactions = [transaction]
        broker.peers.ask(node, request, over: .transactions, timeoutMilliseconds: Self.timeoutMilliseconds) { result in
            guard case .success(let response) = result, let answer = response.resultsByTransaction.first else {
                reply(partitions.map { _ in .coordinatorNotAvailable })
                return
            }
            var codes: [TransactionPartition: ErrorCode] = [:]
            for topic in answer.topicResults {
                for partition in topic.resultsByPartition {
                    codes[TransactionPartition(topic: topic.name, partition: partition.partitionIndex)] = ErrorCode(
                        rawValue: partition.partitionErrorCode)
                }
            }
            reply(partitions.map { codes[$0] ?? .unknownServerError })
        }
    }

    func write(
        _ end: TransactionEnd, to partitions: [TransactionPartition], at node: Int32,
        done: @escaping @Sendable ([ErrorCode]) -> Void
    ) {
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        marker.producerId = end.producerId
        marker.producerEpoch = end.producerEpoch
        marker.transactionResult = end.isCommit
        marker.coordinatorEpoch = end.coordinatorEpoch
        marker.transactionVersion = Int8(end.transactionVersion)
        marker.topics = RemoteTransactions.byTopic(partitions).map { name, indexes in
            var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
            topic.name = name
            topic.partitionIndexes = indexes
            return topic
        }
        var request = WriteTxnMarkersRequest()
        request.markers = [marker]
        broker.peers.ask(node, request, over: .transactions, timeoutMilliseconds: Self.timeoutMilliseconds) { result in
            guard case .success(let response) = result, let answer = response.markers.first else {
                done(partitions.map { _ in .notLeaderOrFollower })
                return
            }
            var codes: [TransactionPartition: ErrorCode] = [:]
            for topic in answer.topics {
                for partition in topic.partitions {
                    codes[TransactionPartition(topic: topic.name, partition: partition.partitionIndex)] = ErrorCode(
                        rawValue: partition.errorCode)
                }
            }
            done(partitions.map { codes[$0] ?? .unknownServerError })
        }
    }

    private static func byTopic(_ partitions: [TransactionPartition]) -> [(name: String, indexes: [Int32])] {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map {
            ($0.key, $0.value.map(\.partition))
        }
    }
}
