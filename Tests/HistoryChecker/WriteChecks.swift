/// Lost, misplaced and duplicate writes.
func writeAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    lostWrites(index) + misplacedWrites(index) + duplicates(index)
}

/// A value that its producer or a reader was promised, and that the final read does not show.
private func lostWrites(_ index: HistoryIndex) -> [Anomaly] {
    var anomalies: [Anomaly] = []
    for sends in index.sendsInOrder() {
        var laterVisible: Int?
        for number in sends.reversed() {
            let send = index.sends[number]
            let value = index.values[send.value]
            if value.finalOffset != nil { laterVisible = send.value }
            guard index.isMissing(send), let promise = promise(send, index) else { continue }
            let partition = index.name(value.partition)
            let offset = send.acknowledgedOffset ?? value.readOffset
            let place = offset.map { " at offset \($0)" } ?? ""
            var explanation = "\(value.id) was \(promise)\(place) and is not in the final read"
            let last = index.finals[value.partition]?.entries.last?.offset ?? -1
            if let offset, offset > last { explanation += ", which ends before it" }
            if let laterVisible, let later = index.values[laterVisible].finalOffset {
                explanation += "; \(index.id(laterVisible)), sent later by \(index.process(send.event)), is at \(later)"
            }
            anomalies.append(
                Anomaly(
                    .lostWrite, partition, offsets: offset.map { [$0] } ?? [], values: [value.id],
                    process: index.process(send.event),
                    transaction: send.transaction.map { index.transactions[$0].number },
                    explanation))
        }
    }
    return anomalies
}

/// Why the value must stay, or nil if it may be gone.
private func promise(_ send: HistoryIndex.IndexedSend, _ index: HistoryIndex) -> String? {
    let outcome = index.outcome(of: send)
    if outcome == .aborted || send.outcome == .refused { return nil }
    if send.isAcknowledged, outcome != .unknown {
        return outcome == nil ? "acknowledged" : "acknowledged and committed"
    }
    // No consumer is shown a record that can still be lost. What read_uncommitted shows of an open transaction may
    // still be aborted.
    let value = index.values[send.value]
    let wasShown = value.wasReadCommitted || (outcome == nil && value.readOffset != nil)
    return wasShown ? "read" : nil
}

/// A value that the reply placed at another offset than every read.
private func misplacedWrites(_ index: HistoryIndex) -> [Anomaly] {
    var anomalies: [Anomaly] = []
    for send in index.sends where send.isIdempotent {
        let value = index.values[send.value]
        guard let told = send.acknowledgedOffset, let seen = value.readOffset, told != seen else { continue }
        // Where the reads disagree among themselves, the value is a duplicate.
        guard value.finalOffset == nil || value.finalOffset == seen else { continue }
        anomalies.append(
            Anomaly(
                .misplacedWrite, index.name(value.partition), offsets: [told, seen], values: [value.id],
                process: index.process(send.event),
                "\(value.id) was acknowledged at offset \(told) and is at \(seen)"))
    }
    return anomalies
}

/// A value that reads showed at more than one offset.
private func duplicates(_ index: HistoryIndex) -> [Anomaly] {
    var offsets: [Int: Set<Int64>] = [:]
    func look(_ sighting: HistoryIndex.Sighting) {
        let value = index.values[sighting.value]
        guard let first = value.readOffset, first != sighting.offset else { return }
        if let send = value.send, !index.sends[send].isIdempotent { return }
        offsets[sighting.value, default: [first]].insert(sighting.offset)
    }
    for sighting in index.polled { look(sighting) }
    for log in index.finals { for sighting in log?.entries ?? [] { look(sighting) } }
    return offsets.map { value, offsets in
        let offsets = offsets.sorted()
        return Anomaly(
            .duplicate, index.name(index.values[value].partition), offsets: offsets, values: [index.id(value)],
            "\(index.id(value)) is at the offsets \(listed(offsets))")
    }
}

/// As text of bounded length.
func listed<Element>(_ elements: [Element]) -> String {
    let shown = elements.prefix(8).map { "\($0)" }.joined(separator: ", ")
    return elements.count > 8 ? "\(shown) and \(elements.count - 8) more" : shown
}
