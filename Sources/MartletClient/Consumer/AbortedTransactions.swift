import KafkaProtocol
import RecordFormat

/// Which batches of a fetch belong to aborted transactions. The reply lists where such transactions began; each ends
/// with its producer's abort marker.
package struct AbortedTransactions: Sendable {
    /// The next one last.
    private var coming: [(producerId: Int64, firstOffset: Int64)]
    private var open: Set<Int64> = []

    package init(_ list: [FetchResponse.AbortedTransaction] = []) {
        coming = list.map { ($0.producerId, $0.firstOffset) }.sorted { $0.1 > $1.1 }
    }

    /// Whether the records of the next batch are to be left out. Batches must come in order.
    package mutating func leavesOut(
        _ header: RecordBatchHeader, _ batch: UnsafeRawBufferPointer
    ) throws(RecordFormatError) -> Bool {
        while let first = coming.last, first.firstOffset <= header.lastOffset {
            open.insert(first.producerId)
            coming.removeLast()
        }
        if header.isControl {
            if try EndTransactionMarker(batch: batch)?.outcome == .abort { open.remove(header.producerId) }
            return true
        }
        return header.isTransactional && open.contains(header.producerId)
    }
}
