import CoordinatorCore

/// What is known of one transactional id. All but `lastProducerEpoch` is in the log.
struct TransactionMetadata: Sendable, Equatable {
    static let noProducerId: Int64 = -1
    static let noProducerEpoch: Int16 = -1
    static let noStart: Int64 = -1

    /// The producer of the transaction. While a transaction of version 2 is prepared, its epoch is already the next
    /// one: the markers carry it.
    var producer: TransactionalProducer
    /// The producer id before the last change of this metadata; differs from the present one only right after a change
    /// of the id.
    var previousProducerId = noProducerId
    /// Takes the place of the producer id when the prepared transaction is complete, because the epochs are used up.
    var nextProducerId = noProducerId
    /// The epoch that the present one was made from for the same producer instance, if it was. A coordinator that
    /// reads the log does not know it; a repeated InitProducerId that spans the change is fenced, as in Kafka.
    var lastProducerEpoch = noProducerEpoch
    var timeoutMs: Int32
    var state = TransactionState.empty
    var partitions: Set<TransactionPartition> = []
    var startTimestamp = noStart
    /// Never goes back, whatever the clock does.
    var lastUpdateTimestamp: Int64
    var clientTransactionVersion = TransactionVersion.classic

    /// The last epoch but one is the last that clients get, so that a producer can always be fenced.
    static func isExhausted(epoch: Int16) -> Bool { epoch >= .max - 1 }

    var isEpochExhausted: Bool { Self.isExhausted(epoch: producer.epoch) }

    /// The producer as its client knows it, or will when the transaction is complete.
    var clientProducer: TransactionalProducer {
        nextProducerId == Self.noProducerId ? producer : TransactionalProducer(id: nextProducerId, epoch: 0)
    }

    /// Whether a request comes from the producer that will go on after the prepared transaction. Its client has been
    /// answered already and need not know that the partitions still learn of the end.
    func isSuccessor(_ producer: TransactionalProducer) -> Bool {
        state.isPrepared && clientTransactionVersion >= TransactionVersion.epochBump && producer == clientProducer
    }

    var timeoutDeadline: Int64 {
        let (deadline, overflow) = startTimestamp.addingReportingOverflow(Int64(timeoutMs))
        return overflow ? .max : deadline
    }
}

// MARK: Transitions

extension TransactionMetadata {
    /// A transactional id that was not known, with a producer id that was never used.
    init(newProducerId: Int64, timeoutMs: Int32, now: Int64) {
        self.init(
            producer: TransactionalProducer(id: newProducerId, epoch: 0), timeoutMs: timeoutMs,
            lastUpdateTimestamp: now)
    }

    /// InitProducerId: a producer begins, or goes on, as `producer`.
    mutating func initialize(
        as producer: TransactionalProducer, lastEpoch: Int16, timeoutMs: Int32, now: Int64
    ) {
        precondition(state.isIdle, "a producer begins while its predecessor's transaction is open")
        // A repeated request changes nothing that tells a further repetition.
        if producer != self.producer { previousProducerId = self.producer.id }
        self.producer = producer
        lastProducerEpoch = lastEpoch
        self.timeoutMs = timeoutMs
        state = .empty
        partitions = []
        startTimestamp = Self.noStart
        touch(now)
    }

    mutating func add(_ added: [TransactionPartition], clientTransactionVersion: Int16, now: Int64) {
        precondition(!state.isPrepared, "partitions are added to a decided transaction")
        if state != .ongoing { startTimestamp = now }
        previousProducerId = producer.id
        state = .ongoing
        partitions.formUnion(added)
        self.clientTransactionVersion = clientTransactionVersion
        touch(now)
    }

    /// Decides the transaction. Version 2 also begins the next epoch; where there is none left, `nextProducerId` is
    /// a fresh one.
    mutating func prepare(isCommit: Bool, transactionVersion: Int16, nextProducerId: Int64, now: Int64) {
        precondition(state == .ongoing || state.isIdle && !isCommit, "a decision is decided again")
        if state != .ongoing {
            startTimestamp = now
            partitions = []
        }
        previousProducerId = producer.id
        if transactionVersion >= TransactionVersion.epochBump {
            lastProducerEpoch = producer.epoch
            if producer.epoch < .max { producer.epoch += 1 }
        }
        self.nextProducerId = nextProducerId
        state = isCommit ? .prepareCommit : .prepareAbort
        clientTransactionVersion = transactionVersion
        // Later than all before, so that it names the decision.
        touch(max(now, lastUpdateTimestamp == .max ? .max : lastUpdateTimestamp + 1))
    }

    /// All partitions have learnt of the decision.
    mutating func complete(now: Int64) {
        precondition(state.isPrepared, "a transaction is complete that was not decided")
        previousProducerId = producer.id
        producer = clientProducer
        nextProducerId = Self.noProducerId
        state = state == .prepareCommit ? .completeCommit : .completeAbort
        partitions = []
        touch(now)
    }

    private mutating func touch(_ now: Int64) {
        lastUpdateTimestamp = max(lastUpdateTimestamp, now)
    }
}

// MARK: Markers

extension TransactionMetadata {
    func markersTicket(_ transactionalId: String) -> MarkersTicket {
        MarkersTicket(
            transactionalId: transactionalId, producer: producer, isCommit: state == .prepareCommit,
            decidedAt: lastUpdateTimestamp)
    }

    func markers(_ transactionalId: String, coordinatorEpoch: Int32) -> TransactionMarkers {
        precondition(state.isPrepared, "markers of a transaction that is not decided")
        return TransactionMarkers(
            ticket: markersTicket(transactionalId),
            end: TransactionEnd(
                producerId: producer.id, producerEpoch: producer.epoch, isCommit: state == .prepareCommit,
                coordinatorEpoch: coordinatorEpoch, transactionVersion: clientTransactionVersion),
            partitions: partitions.sorted())
    }
}
