import RecordFormat

/// A log's producers: which batches are new, repeated or out of order, and which transactions are open. A plain value
/// without I/O; its log holds it under its lock.
struct ProducerStateManager {
    /// A transaction whose end the log holds.
    struct CompletedTransaction: Equatable {
        var producerId: Int64
        var firstOffset: Int64
        /// The marker's offset.
        var lastOffset: Int64
        var isAborted: Bool
    }

    enum Check: Equatable {
        case accepted
        case duplicate(ProducerBatch)
        case refused(AppendRefusal)
    }

    private(set) var producers: [Int64: ProducerState] = [:]
    /// First offsets of open transactions, ascending.
    private(set) var openTransactions: [Int64] = []
    /// Transactions whose markers the high watermark has not passed, so that another leader may not have them.
    private(set) var unreplicatedTransactions: [CompletedTransaction] = []

    /// Reads must not go past this when they are to see committed records only; nil when nothing is undecided.
    var firstUnstableOffset: Int64? {
        let open = openTransactions.first
        guard let unreplicated = unreplicatedTransactions.lazy.map(\.firstOffset).min() else { return open }
        return min(open ?? .max, unreplicated)
    }

    func hasOpenTransaction(producerId: Int64, producerEpoch: Int16) -> Bool {
        guard let producer = producers[producerId] else { return false }
        return producer.hasOpenTransaction && producer.producerEpoch == producerEpoch
    }

    /// Whether a leader may append this batch. `marker` is that of a control batch.
    func check(_ header: RecordBatchHeader, marker: EndTransactionMarker?, _ permission: AppendPermission) -> Check {
        guard header.hasProducer || header.isControl else { return .accepted }
        if case .marker(let transactionVersion) = permission {
            return checkMarker(header, marker, transactionVersion)
        }
        if header.isControl { return .refused(.corruptMessage) }
        guard let producer = producers[header.producerId] else {
            if permission == .client, header.isTransactional { return .refused(.invalidTransactionState) }
            return .accepted
        }
        let isCoordinators = permission == .coordinator
        if !isCoordinators, let duplicate = producer.duplicate(of: header) {
            // A repetition of what an ended transaction had is none that anybody waits for: these are other records, of a client
            // that uses its numbers again. To call them written would lose them.
            return header.isTransactional && duplicate.lastOffset <= producer.lastMarkerOffset
                ? .refused(.outOfOrderSequenceNumber) : .duplicate(duplicate)
        }
        if header.producerEpoch < producer.producerEpoch { return .refused(.invalidProducerEpoch) }
        if header.isTransactional, !Self.maySend(header, producer, permission) {
            if case .verified = permission, !producer.hasOpenTransaction { return .refused(.outdatedVerification) }
            return .refused(.invalidTransactionState)
        }
        if !isCoordinators, !Self.isInSequence(header, after: producer) {
            return .refused(.outOfOrderSequenceNumber)
        }
        if producer.hasOpenTransaction, !header.isTransactional { return .refused(.invalidTransactionState) }
        return .accepted
    }

    private func checkMarker(
        _ header: RecordBatchHeader, _ marker: EndTransactionMarker?, _ transactionVersion: Int16
    ) -> Check {
        guard header.isControl, header.hasProducer else { return .refused(.corruptMessage) }
        guard let marker, let producer = producers[header.producerId] else { return .accepted }
        if header.producerEpoch < producer.producerEpoch { return .refused(.invalidProducerEpoch) }
        // From version 2 on a marker is one epoch ahead of its transaction. One of the open transaction's own epoch
        // ended the transaction before. With nothing open it is that marker again, which does no harm.
        if transactionVersion >= 2, header.producerEpoch == producer.producerEpoch, producer.hasOpenTransaction {
            return .refused(.invalidProducerEpoch)
        }
        if marker.coordinatorEpoch < producer.coordinatorEpoch { return .refused(.transactionCoordinatorFenced) }
        return .accepted
    }

    /// Whether a transactional batch may go on with the producer's transaction or begin one (KIP-890).
    private static func maySend(
        _ header: RecordBatchHeader, _ producer: ProducerState, _ permission: AppendPermission
    ) -> Bool {
        // A transaction of an older epoch whose marker was lost: one marker must not decide over two transactions.
        if producer.hasOpenTransaction, header.producerEpoch != producer.producerEpoch { return false }
        switch permission {
        case .client: return producer.hasOpenTransaction
        // A marker since then means that it was another transaction that was found open.
        case .verified(let offset): return producer.lastMarkerOffset < offset
        case .coordinator, .marker: return true
        }
    }

    private static func isInSequence(_ header: RecordBatchHeader, after producer: ProducerState) -> Bool {
        guard header.producerEpoch == producer.producerEpoch else {
            // A new epoch starts its own count.
            return header.baseSequence == 0 || producer.producerEpoch == -1
        }
        let last = producer.lastSequence
        return header.baseSequence == (last == .max ? 0 : last + 1)
    }

    /// Takes note of a batch that is, or is about to be, in the log. `header` has its final base offset.
    mutating func apply(_ header: RecordBatchHeader, marker: EndTransactionMarker?) -> CompletedTransaction? {
        guard header.hasProducer else { return nil }
        if header.isControl {
            if let marker { return complete(header, marker) }
            if header.recordCount == 0 { noteEmptied(header) }
            return nil
        }
        let isNew: Bool = modify(header.producerId) { producer in
            producer.advanceEpoch(to: header.producerEpoch)
            if header.baseSequence >= 0 {
                producer.add(
                    ProducerBatch(
                        lastSequence: header.lastSequence, lastOffset: header.lastOffset,
                        offsetDelta: header.lastOffsetDelta, timestamp: header.maxTimestamp))
            } else {
                // A coordinator's batch has no place among those that are recognized when they are repeated.
                producer.unsequencedLastOffset = header.lastOffset
                producer.lastTimestamp = header.maxTimestamp
            }
            guard header.isTransactional, !producer.hasOpenTransaction else { return false }
            producer.transactionFirstOffset = header.baseOffset
            return true
        }
        if isNew { openTransactions.append(header.baseOffset) }
        return nil
    }

    /// A marker that compaction emptied is there for its epoch only: its transaction has no batch left.
    private mutating func noteEmptied(_ header: RecordBatchHeader) {
        modify(header.producerId) { producer in
            producer.advanceEpoch(to: max(producer.producerEpoch, header.producerEpoch))
            producer.lastTimestamp = max(producer.lastTimestamp, header.maxTimestamp)
        }
    }

    private mutating func complete(
        _ header: RecordBatchHeader, _ marker: EndTransactionMarker
    ) -> CompletedTransaction? {
        let firstOffset: Int64 = modify(header.producerId) { producer in
            producer.advanceEpoch(to: header.producerEpoch)
            producer.coordinatorEpoch = marker.coordinatorEpoch
            producer.lastTimestamp = header.maxTimestamp
            producer.lastMarkerOffset = header.lastOffset
            defer { producer.transactionFirstOffset = -1 }
            return producer.transactionFirstOffset
        }
        guard firstOffset >= 0 else { return nil }
        if let index = openTransactions.firstIndex(of: firstOffset) { openTransactions.remove(at: index) }
        let completed = CompletedTransaction(
            producerId: header.producerId, firstOffset: firstOffset, lastOffset: header.lastOffset,
            isAborted: marker.outcome == .abort)
        unreplicatedTransactions.append(completed)
        return completed
    }

    /// What the last stable offset is once `completed` is decided: the next open transaction, or past its marker.
    func lastStableOffset(after completed: CompletedTransaction) -> Int64 {
        openTransactions.first ?? completed.lastOffset + 1
    }

    /// Markers below the high watermark can not be lost any more.
    mutating func highWatermarkMoved(to offset: Int64) {
        guard !unreplicatedTransactions.isEmpty else { return }
        unreplicatedTransactions.removeAll { $0.lastOffset < offset }
    }

    /// Forgets producers that have been silent for `expiration` and have no open transaction.
    mutating func expire(now: Int64, expiration: Int64) {
        // Time begins to count now for whoever wrote of the future, or they would be remembered until it comes.
        for (id, producer) in producers where producer.lastTimestamp > now { producers[id]?.lastTimestamp = now }
        guard producers.contains(where: { Self.isExpired($0.value, now, expiration) }) else { return }
        producers = producers.filter { !Self.isExpired($0.value, now, expiration) }
    }

    private static func isExpired(_ producer: ProducerState, _ now: Int64, _ expiration: Int64) -> Bool {
        !producer.hasOpenTransaction && now.saturatingSubtracting(producer.lastTimestamp) >= expiration
    }

    /// Takes everything from a snapshot's producers.
    mutating func load(_ snapshot: [ProducerState], now: Int64, expiration: Int64) {
        self = ProducerStateManager()
        for producer in snapshot where !Self.isExpired(producer, now, expiration) {
            producers[producer.producerId] = producer
            if producer.hasOpenTransaction { openTransactions.append(producer.transactionFirstOffset) }
        }
        openTransactions.sort()
    }

    // MARK: Taking back

    /// What to put back when the write of a batch fails.
    struct Undo {
        fileprivate var producerId: Int64
        fileprivate var producer: ProducerState?
    }

    /// The producer as it is before `apply`.
    func undo(for header: RecordBatchHeader) -> Undo {
        Undo(producerId: header.producerId, producer: producers[header.producerId])
    }

    /// The transactions as they are, for `restore`. Costs nothing while no transaction begins or ends.
    var transactions: ([Int64], [CompletedTransaction]) { (openTransactions, unreplicatedTransactions) }

    /// Takes back what was applied since, the newest first.
    mutating func restore(_ undos: [Undo], transactions: ([Int64], [CompletedTransaction])) {
        for undo in undos.reversed() { producers[undo.producerId] = undo.producer }
        (openTransactions, unreplicatedTransactions) = transactions
    }

    private mutating func modify<Result>(_ producerId: Int64, _ body: (inout ProducerState) -> Result) -> Result {
        body(&producers[producerId, default: ProducerState(producerId: producerId)])
    }
}
