import CoordinatorCore
import KafkaProtocol
import RecordFormat
import TransactionCoordinator

/// Which partitions of a produce request must be asked for at the transaction's coordinator before their logs take the
/// records: those where the transaction is not open yet. From Produce 12 on the coordinator adds them to the transaction
/// (KIP-890 part 2), before it confirms that the client has added them (part 1).
///
/// The question is put once for each transaction and partition. While it is open the connection takes no requests, and
/// then the request is read again, so that nothing of it must be kept and the order of requests stays.
struct ProduceAdmission: Sendable {
    enum Verdict: Sendable {
        /// The log ended at this offset before the coordinator was asked.
        case admitted(at: Int64)
        case refused(ErrorCode)
    }

    private struct Candidate: Sendable {
        var partition: TransactionPartition
        var ordinal: Int
        var logEnd: Int64
    }

    private var transactionalId = ""
    private let version: Int16
    private var producer: TransactionalProducer?
    private var candidates: [Candidate] = []
    /// By the partition's ordinal. They hold for batches of `producer`, since for no other is asked.
    private var verdicts: [Int: Verdict] = [:]

    /// Looks through a request, at its batches' headers only; nil when there is nothing to ask. `cursor` stands behind
    /// the transactional id.
    init?(
        _ frame: UnsafeRawBufferPointer, _ bytes: RawSpan, from cursor: ByteCursor, transactionalId: Range<Int>,
        version: Int16, topics: TopicTable
    ) throws(ProtocolDecodingError) {
        self.version = version
        let flexible = version >= ProduceRequest.firstFlexibleVersion
        var cursor = cursor
        _ = try cursor.int16(bytes)  // acks
        _ = try cursor.int32(bytes)  // time-out
        for _ in 0..<max(0, try cursor.arrayCount(bytes, flexible: flexible)) {
            var topic: Topic?
            if version >= 13 {
                topic = topics.topic(withId: try cursor.uuid(bytes))
            } else if let name = try cursor.range(bytes, flexible: flexible, isString: true) {
                topic = topics.topic(named: UnsafeRawBufferPointer(rebasing: frame[name]))
            }
            for _ in 0..<max(0, try cursor.arrayCount(bytes, flexible: flexible)) {
                let number = try cursor.int32(bytes)
                let records = try cursor.range(bytes, flexible: flexible, isString: false)
                if let topic, let records { look(at: frame[records], topic, number) }
                if flexible { try cursor.skipTaggedFields(bytes) }
            }
            if flexible { try cursor.skipTaggedFields(bytes) }
        }
        if candidates.isEmpty { return nil }
        self.transactionalId = String(decoding: frame[transactionalId], as: UTF8.self)
    }

    private mutating func look(at records: Slice<UnsafeRawBufferPointer>, _ topic: Topic, _ number: Int32) {
        guard let leader = topic.leader(of: number), !topic.isInternal,
            let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: records)), header.isTransactional,
            header.hasProducer
        else { return }
        let batchProducer = TransactionalProducer(id: header.producerId, epoch: header.producerEpoch)
        // Taken before anything is asked, so that an end which comes in between is noticed.
        let end = leader.log.endOffset
        if leader.log.hasOpenTransaction(producerId: batchProducer.id, producerEpoch: batchProducer.epoch) { return }
        guard producer == nil || producer == batchProducer else {
            verdicts[leader.ordinal] = .refused(.invalidProducerIdMapping)
            return
        }
        producer = batchProducer
        candidates.append(
            Candidate(
                partition: TransactionPartition(topic: topic.name, partition: number), ordinal: leader.ordinal,
                logEnd: end))
    }

    /// Asks, and calls `done` with the answered question, on any thread.
    func ask(
        _ broker: Broker, _ context: CoordinatorRequestContext,
        done: @escaping @Sendable (ProduceAdmission) -> Void
    ) {
        guard let producer else { preconditionFailure("there is nothing to ask") }
        broker.transactions.admit(
            transactionalId, producer, candidates.map(\.partition),
            as: version >= 12 ? .implicitlyAdded : .verified, context
        ) { codes in
            var answered = self
            for (candidate, code) in zip(candidates, codes) {
                answered.verdicts[candidate.ordinal] =
                    code == .none ? .admitted(at: candidate.logEnd) : .refused(Self.produceError(code, version))
            }
            done(answered)
        }
    }

    /// What was said of a batch; nil when it needed not be asked for.
    func verdict(of header: RecordBatchHeader, forOrdinal ordinal: Int) -> Verdict? {
        guard let verdict = verdicts[ordinal] else { return nil }
        // One producer has a transactional id: whoever else writes in its name has no part in its transaction.
        return header.producerId == producer?.id && header.producerEpoch == producer?.epoch
            ? verdict : .refused(.invalidProducerIdMapping)
    }

    /// What a producer makes of the coordinator's errors: those that pass are NOT_ENOUGH_REPLICAS, which it retries.
    private static func produceError(_ code: ErrorCode, _ version: Int16) -> ErrorCode {
        switch code {
        case .producerFenced: .invalidProducerEpoch
        case .transactionAbortable: version >= 11 ? code : .invalidTxnState
        case .concurrentTransactions: version >= 12 ? code : .notEnoughReplicas
        case .notCoordinator, .coordinatorNotAvailable, .coordinatorLoadInProgress: .notEnoughReplicas
        default: code
        }
    }
}
