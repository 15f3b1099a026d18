/// Where a topic's records without a key go: one partition for as many bytes as a batch has, then another by chance, so
/// that batches grow full (KIP-480). With weights, partitions with longer queues come less often (KIP-794).
struct StickyPartitioner {
    private(set) var partition: Int32 = -1
    private var byteCount = 0

    /// `byteCount` went to `partition`.
    mutating func didAppend(_ byteCount: Int) {
        self.byteCount += byteCount
    }

    /// Whether another partition must be chosen. A partition keeps its share until the batch that it fills is
    /// full, so that no small batch is left behind, but twice its share at most.
    func isSpent(stickyBytes: Int, batchIsFull: Bool) -> Bool {
        partition < 0 || (byteCount >= stickyBytes && batchIsFull) || byteCount >= 2 * stickyBytes
    }

    /// Chooses the next partition. `queueLengths` are those of all partitions, nil for one without a leader.
    mutating func next(
        queueLengths: some Collection<Int?>, isAdaptive: Bool, using generator: inout some RandomNumberGenerator
    ) {
        byteCount = 0
        let longest = queueLengths.lazy.compactMap { $0 }.max()
        guard let longest else {
            // Nobody leads any of them: their batches wait, and all are as good.
            partition = Int32.random(in: 0..<Int32(queueLengths.count), using: &generator)
            return
        }
        func weight(_ length: Int) -> Int { isAdaptive ? longest + 1 - length : 1 }
        let total = queueLengths.reduce(0) { $0 + ($1.map(weight) ?? 0) }
        var left = Int.random(in: 0..<total, using: &generator)
        for (index, length) in queueLengths.enumerated() {
            guard let length else { continue }
            left -= weight(length)
            if left < 0 {
                partition = Int32(index)
                return
            }
        }
        preconditionFailure("the weights make up the total")
    }
}
