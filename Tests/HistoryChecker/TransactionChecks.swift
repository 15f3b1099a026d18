/// Transactions of which the final read shows a part. What the outcome was does not matter, as long as it is one.
func transactionAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    var anomalies: [Anomaly] = []
    for transaction in index.transactions where transaction.outcome != .aborted {
        let values = transaction.sends.map { index.values[index.sends[$0].value] }
        let visible = values.filter { $0.finalOffset != nil }
        guard let witness = visible.first else { continue }
        var missing: [Int: [Int]] = [:]
        for number in transaction.sends {
            let send = index.sends[number]
            guard send.isAcknowledged, index.isMissing(send) else { continue }
            missing[index.values[send.value].partition, default: []].append(number)
        }
        for (partition, sends) in missing {
            let ids = sends.map { index.id(index.sends[$0].value) }
            anomalies.append(
                Anomaly(
                    .tornTransaction, index.name(partition),
                    offsets: sends.compactMap { index.sends[$0].acknowledgedOffset },
                    values: ids, transaction: transaction.number,
                    "of transaction \(transaction.number) \(listed(ids)) is not in the final read, though "
                        + "\(visible.count) of its values are, as \(witness.id) in \(index.name(witness.partition))"
                ))
        }
    }
    return anomalies
}

extension HistoryIndex {
    /// Whether the final read shows the transaction, wholly or in part.
    func isVisible(_ transaction: Transaction) -> Bool {
        transaction.sends.contains { values[sends[$0].value].finalOffset != nil }
    }

    /// What was acknowledged of the transaction, and is not in the final read.
    func missingValues(_ transaction: Transaction) -> [ValueID] {
        transaction.sends.map { sends[$0] }.filter { $0.isAcknowledged && isMissing($0) }.map { values[$0.value].id }
    }
}
