import CoordinatorCore
import KafkaProtocol

@testable import TransactionCoordinator

func partition(_ number: Int32, _ topic: String = "t") -> TransactionPartition {
    TransactionPartition(topic: topic, partition: number)
}

/// Which protocol a client speaks, with the versions of its APIs.
enum Client: CaseIterable {
    case classic
    case epochBump

    var endTxnVersion: Int16 { self == .classic ? 4 : 5 }
    var addVersion: Int16 { self == .classic ? 3 : 12 }
    var transactionVersion: Int16 { self == .classic ? 0 : 2 }
}

/// What a client sees of an InitProducerId or EndTxn.
struct Outcome: Equatable, CustomStringConvertible {
    var code: ErrorCode
    var producer: TransactionalProducer

    init(_ code: ErrorCode, _ id: Int64 = -1, _ epoch: Int16 = -1) {
        self.code = code
        producer = TransactionalProducer(id: id, epoch: epoch)
    }

    var description: String { "\(code) (\(producer.id), \(producer.epoch))" }
}

extension TransactionHarness {
    @discardableResult
    func sendInit(
        _ id: String? = "a", timeoutMs: Int32 = 60_000, expecting: TransactionalProducer? = nil, version: Int16 = 5
    ) -> RequestToken {
        var request = InitProducerIdRequest()
        request.transactionalId = id
        request.transactionTimeoutMs = timeoutMs
        request.producerId = expecting?.id ?? -1
        request.producerEpoch = expecting?.epoch ?? -1
        return send(.initProducerId(request), version: version)
    }

    @discardableResult
    func sendAdd(
        _ id: String = "a", _ producer: TransactionalProducer, _ partitions: [TransactionPartition] = [partition(0)],
        _ client: Client = .epochBump, version: Int16? = nil
    ) -> RequestToken {
        send(
            .addPartitions(
                transactionalId: id, producer: producer, partitions: partitions,
                transactionVersion: client.transactionVersion),
            version: version ?? client.addVersion)
    }

    @discardableResult
    func sendVerify(
        _ id: String = "a", _ producer: TransactionalProducer, _ partitions: [TransactionPartition] = [partition(0)]
    ) -> RequestToken {
        send(.verifyPartitions(transactionalId: id, producer: producer, partitions: partitions), version: 11)
    }

    @discardableResult
    func sendEnd(
        _ id: String = "a", _ producer: TransactionalProducer, commit: Bool, _ client: Client = .epochBump,
        version: Int16? = nil
    ) -> RequestToken {
        var request = EndTxnRequest()
        request.transactionalId = id
        request.producerId = producer.id
        request.producerEpoch = producer.epoch
        request.committed = commit
        return send(.endTransaction(request), version: version ?? client.endTxnVersion)
    }

    // MARK: Answers; nil while there is none

    func outcome(_ token: RequestToken) -> Outcome? {
        switch replies[token] {
        case .initProducerId(let response):
            Outcome(ErrorCode(rawValue: response.errorCode), response.producerId, response.producerEpoch)
        case .endTransaction(let response):
            Outcome(ErrorCode(rawValue: response.errorCode), response.producerId, response.producerEpoch)
        default: nil
        }
    }

    func code(_ token: RequestToken) -> ErrorCode? {
        switch replies[token] {
        case nil: nil
        case .partitions(let code): code
        case .verification(let codes): codes[0]
        default: outcome(token)?.code
        }
    }

    // MARK: Whole steps

    /// A producer that begins, with the default harness.
    func begin(_ id: String = "a", timeoutMs: Int32 = 60_000) -> TransactionalProducer {
        outcome(sendInit(id, timeoutMs: timeoutMs))!.producer
    }

    /// Puts an id into a state, as if read from the log.
    func place(_ metadata: TransactionMetadata, at id: String = "a") {
        log.append(TransactionRecord.encode(id, metadata))
        restart()
        shard.transactions[id]?.lastProducerEpoch = metadata.lastProducerEpoch
    }

    var metadata: TransactionMetadata? { shard.transactions["a"] }
}
