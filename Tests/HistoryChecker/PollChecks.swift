/// Consumers that pass over values or go back, without a rebalance or seek between.
func pollAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    let committed = VisibleLog.all(index, .readCommitted)
    let readsUncommitted = index.steps.contains {
        if case .poll(_, _, .readUncommitted, _) = $0 { true } else { false }
    }
    let uncommitted = readsUncommitted ? VisibleLog.all(index, .readUncommitted) : committed
    var check = PollCheck(index: index)
    for step in index.steps {
        switch step {
        case .poll(let event, let process, let isolation, let range):
            check.poll = event
            let logs = isolation == .readCommitted ? committed : uncommitted
            for sighting in index.polled[range] {
                check.read(sighting, .init(process: process, partition: sighting.partition), logs[sighting.partition])
            }
        case .forget(let process, let partition):
            check.positions[.init(process: process, partition: partition)] = nil
        case .set(let process, let partition, let offset):
            check.positions[.init(process: process, partition: partition)] = .init(next: offset)
        case .commit: break
        }
    }
    return check.anomalies + index.finals.flatMap { finalReadAnomalies($0, index) }
}

/// The offsets of one partition that a consumer at some isolation level cannot but be shown, ascending.
private struct VisibleLog {
    private(set) var sightings: [HistoryIndex.Sighting] = []

    static func all(_ index: HistoryIndex, _ isolation: IsolationLevel) -> [VisibleLog] {
        var logs = index.finals.map { VisibleLog(sightings: $0?.entries ?? []) }
        if isolation == .readUncommitted {
            // Aborted values too, as far as any such consumer saw them.
            for case .poll(_, _, .readUncommitted, let range) in index.steps {
                for sighting in index.polled[range] { logs[sighting.partition].sightings.append(sighting) }
            }
        }
        for partition in logs.indices { logs[partition].sort() }
        return logs
    }

    private mutating func sort() {
        let isSorted = zip(sightings, sightings.dropFirst()).allSatisfy { $0.offset < $1.offset }
        guard !isSorted else { return }
        sightings.sort { ($0.offset, $0.value) < ($1.offset, $1.value) }
        var last: Int64?
        sightings.removeAll { sighting in
            defer { last = sighting.offset }
            return sighting.offset == last
        }
    }

    /// The first at or after the offset. The hint is right wherever a consumer simply goes on.
    func firstIndex(from offset: Int64, hint: Int) -> Int {
        if hint <= sightings.count, hint == sightings.count || sightings[hint].offset >= offset,
            hint == 0 || sightings[hint - 1].offset < offset
        {
            return hint
        }
        var (low, high) = (0, sightings.count)
        while low < high {
            let middle = (low + high) / 2
            if sightings[middle].offset < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

private struct PollCheck {
    struct Consumer: Hashable {
        let process: Int
        let partition: Int
    }

    struct Position {
        var next: Int64
        /// The poll that returned the record before `next`.
        var poll: Int?
        var hint = 0
    }

    let index: HistoryIndex
    var positions: [Consumer: Position] = [:]
    var poll = 0
    var anomalies: [Anomaly] = []

    init(index: HistoryIndex) {
        self.index = index
    }

    mutating func read(_ sighting: HistoryIndex.Sighting, _ consumer: Consumer, _ log: VisibleLog) {
        var hint = 0
        if let position = positions[consumer] {
            if sighting.offset < position.next {
                tellBackward(sighting, position)
            } else {
                let start = log.firstIndex(from: position.next, hint: position.hint)
                hint = start
                while hint < log.sightings.count, log.sightings[hint].offset < sighting.offset { hint += 1 }
                if hint > start { tellSkip(sighting, position, log.sightings[start..<hint]) }
            }
        }
        let next = log.firstIndex(from: sighting.offset + 1, hint: hint + 1)
        positions[consumer] = Position(next: sighting.offset + 1, poll: poll, hint: next)
    }

    private func scope(_ position: Position) -> String {
        position.poll == poll ? "within one poll" : "between polls"
    }

    private mutating func tellBackward(_ sighting: HistoryIndex.Sighting, _ position: Position) {
        let id = index.id(sighting.value)
        anomalies.append(
            Anomaly(
                .nonMonotonicPoll, index.name(sighting.partition), offsets: [position.next, sighting.offset],
                values: [id], process: index.process(poll),
                "\(index.process(poll)) was at offset \(position.next) and was given \(id) at \(sighting.offset), "
                    + scope(position)))
    }

    private mutating func tellSkip(
        _ sighting: HistoryIndex.Sighting, _ position: Position, _ skipped: ArraySlice<HistoryIndex.Sighting>
    ) {
        let offsets = skipped.map(\.offset)
        anomalies.append(
            Anomaly(
                .skippedPoll, index.name(sighting.partition), offsets: offsets,
                values: skipped.prefix(Anomaly.listLimit).map { index.id($0.value) }, process: index.process(poll),
                "\(index.process(poll)) was at offset \(position.next) and was given \(sighting.offset) next, "
                    + "\(scope(position)), passing over \(listed(offsets))"))
    }
}

private func finalReadAnomalies(_ log: HistoryIndex.FinalLog?, _ index: HistoryIndex) -> [Anomaly] {
    guard let log else { return [] }
    let reader = index.processes.names[log.process]
    return zip(log.entries, log.entries.dropFirst()).filter { $1.offset <= $0.offset }.map { previous, entry in
        Anomaly(
            .nonMonotonicPoll, index.name(entry.partition), offsets: [previous.offset + 1, entry.offset],
            values: [index.id(entry.value)], process: reader,
            "the final read of \(reader) was at offset \(previous.offset + 1) and was given "
                + "\(index.id(entry.value)) at \(entry.offset)")
    }
}
