import RecordFormat

/// Follows transactions through a compaction: the records of aborted ones go, and markers once nothing of their
/// transaction is left.
struct CleanedTransactions {
    private var coming: [AbortedTransaction]
    private var aborted: [Int64: (transaction: AbortedTransaction, hasBatches: Bool)] = [:]
    private var committed: Set<Int64> = []
    private var keptAborts: [AbortedTransaction] = []

    init(aborted: [AbortedTransaction]) {
        // The next one is last.
        coming = aborted.sorted { $0.firstOffset > $1.firstOffset }
    }

    /// Whether a batch, in the log's order, belongs to nothing that readers need: the records of an aborted
    /// transaction, or the marker of one without batches.
    mutating func canDiscard(_ header: RecordBatchHeader, _ marker: EndTransactionMarker?) -> Bool {
        while let next = coming.last, next.firstOffset <= header.lastOffset {
            aborted[next.producerId] = (next, false)
            coming.removeLast()
        }
        guard header.isControl else {
            // A batch without records counts too: it would open its transaction for good without the marker.
            guard header.isTransactional else { return false }
            if aborted[header.producerId] != nil {
                aborted[header.producerId]?.hasBatches = true
                return true
            }
            committed.insert(header.producerId)
            return false
        }
        guard let marker else { return false }
        switch marker.outcome {
        case .commit: return committed.remove(header.producerId) == nil
        case .abort:
            guard let transaction = aborted.removeValue(forKey: header.producerId), transaction.hasBatches else {
                return true
            }
            // Readers that have records of it from before must still learn that it was aborted.
            keptAborts.append(transaction.transaction)
            return false
        }
    }

    /// The aborted transactions whose markers were kept since the last call.
    mutating func takeKeptAborts() -> [AbortedTransaction] {
        defer { keptAborts.removeAll() }
        return keptAborts
    }
}
