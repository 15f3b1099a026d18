/// Values that a read must not have shown: refused, aborted or not yet committed ones.
func readAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    var check = ReadCheck(index: index)
    for case .poll(let event, _, let isolation, let range) in index.steps {
        for sighting in index.polled[range] { check.look(sighting, event, index.process(event), isolation) }
    }
    for log in index.finals {
        guard let log else { continue }
        let reader = index.processes.names[log.process]
        for sighting in log.entries { check.look(sighting, nil, reader, .readCommitted) }
    }
    return check.anomalies
}

private struct ReadCheck {
    let index: HistoryIndex
    var anomalies: [Anomaly] = []
    private var told: Set<Told> = []

    private struct Told: Hashable {
        let kind: Anomaly.Kind
        let value: Int
        let offset: Int64
    }

    init(index: HistoryIndex) {
        self.index = index
    }

    /// The final read has no event: it comes after every transaction.
    mutating func look(
        _ sighting: HistoryIndex.Sighting, _ event: Int?, _ reader: String, _ isolation: IsolationLevel
    ) {
        guard let number = index.values[sighting.value].send else { return }
        let send = index.sends[number]
        if send.outcome == .refused {
            tell(.abortedRead, sighting, send, reader, "was refused")
        } else if isolation == .readCommitted, let transaction = send.transaction {
            if index.transactions[transaction].outcome == .aborted {
                tell(.abortedRead, sighting, send, reader, "was aborted")
            } else if let event, isBeforeEnd(event, of: transaction) {
                tell(.precommittedRead, sighting, send, reader, "was not yet committed")
            }
        }
    }

    /// Whether the read was over before anyone asked to commit. Without a recorded end nothing is known.
    private func isBeforeEnd(_ read: Int, of transaction: Int) -> Bool {
        let ends = index.transactions[transaction].ends
        return !ends.isEmpty && ends.allSatisfy { index.precedes(read, $0) }
    }

    /// Once for a value at an offset, however many read it.
    private mutating func tell(
        _ kind: Anomaly.Kind, _ sighting: HistoryIndex.Sighting, _ send: HistoryIndex.IndexedSend, _ reader: String,
        _ reason: String
    ) {
        guard told.insert(Told(kind: kind, value: sighting.value, offset: sighting.offset)).inserted else { return }
        let transaction = send.transaction.map { index.transactions[$0].number }
        let part = transaction.map { " of transaction \($0)" } ?? ""
        let id = index.id(sighting.value)
        anomalies.append(
            Anomaly(
                kind, index.name(sighting.partition), offsets: [sighting.offset], values: [id], process: reader,
                transaction: transaction, "\(id)\(part) \(reason), and \(reader) read it at offset \(sighting.offset)"))
    }
}

/// Offsets that stand for more than one value.
func offsetValueAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    var first = [[Int64: Int]](repeating: [:], count: index.finals.count)
    var conflicts: [TopicPartition: [Int64: [Int]]] = [:]
    func look(_ sighting: HistoryIndex.Sighting) {
        let known = first[sighting.partition][sighting.offset]
        guard let known else {
            first[sighting.partition][sighting.offset] = sighting.value
            return
        }
        guard known != sighting.value else { return }
        var values = conflicts[index.name(sighting.partition)]?[sighting.offset] ?? [known]
        if !values.contains(sighting.value) { values.append(sighting.value) }
        conflicts[index.name(sighting.partition), default: [:]][sighting.offset] = values
    }
    for log in index.finals { for sighting in log?.entries ?? [] { look(sighting) } }
    for sighting in index.polled { look(sighting) }
    for send in index.sends {
        guard let offset = send.acknowledgedOffset else { continue }
        look(HistoryIndex.Sighting(partition: index.values[send.value].partition, offset: offset, value: send.value))
    }
    return conflicts.flatMap { partition, offsets in
        offsets.map { offset, values in
            let ids = values.map { index.id($0) }.sorted()
            return Anomaly(
                .inconsistentOffsets, partition, offsets: [offset], values: ids,
                "offset \(offset) stands for the values \(listed(ids))")
        }
    }
}
