/// What groups are told as committed: less than what was committed before, or what an abort undid; and transactions
/// whose records and offsets do not go together.
func fetchedOffsetAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    struct Place: Hashable {
        let group: String
        let partition: TopicPartition
    }
    var fetches: [Place: [(event: Int, OffsetFetch)]] = [:]
    for (event, fetch) in index.fetches {
        fetches[Place(group: fetch.group, partition: fetch.partition), default: []].append((event, fetch))
    }
    var commits: [Place: [(event: Int, OffsetCommit)]] = [:]
    for case .commit(let event, _, _, let commit) in index.steps {
        let place = Place(group: commit.group, partition: commit.partition)
        if fetches[place] != nil { commits[place, default: []].append((event, commit)) }
    }
    return fetches.flatMap { place, fetches in
        let claims = OffsetClaims(commits[place] ?? [], fetches: fetches.map(\.event), index)
        var check = FetchCheck(index: index, claims: claims)
        check.run(fetches)
        return check.anomalies
    }
}

private struct FetchCheck {
    let index: HistoryIndex
    let claims: OffsetClaims
    var anomalies: [Anomaly] = []
    private var told: Set<Told> = []

    private struct Told: Hashable {
        let kind: Anomaly.Kind
        let offset: Int64?
    }

    init(index: HistoryIndex, claims: OffsetClaims) {
        self.index = index
        self.claims = claims
    }

    mutating func run(_ fetches: [(event: Int, OffsetFetch)]) {
        for isStable in [true, false] {
            var least = OffsetClaims.LeastOffsets(claims.claims, stable: isStable)
            let timed = fetches.filter { $0.1.requiresStable == isStable && !$0.1.isFinal }.compactMap { event, fetch in
                claims.interval(event, index).map { (time: $0, event: event, fetch: fetch) }
            }
            for (time, event, fetch) in timed.sorted(by: {
                ($0.time.completed, $0.event) < ($1.time.completed, $1.event)
            }) {
                guard let expected = least.at(time), (fetch.offset ?? -1) < expected else { continue }
                tellBack(event, fetch, expected)
            }
        }
        let byOffset = Dictionary(grouping: claims.claims, by: \.offset)
        for (event, fetch) in fetches {
            if fetch.isFinal { checkFinal(event, fetch) }
            if let offset = fetch.offset { checkSource(event, fetch, offset, byOffset[offset] ?? []) }
        }
    }

    /// After everything has settled, what is told is at least what the last certain commit, or one concurrent with
    /// it, set.
    private mutating func checkFinal(_ event: Int, _ fetch: OffsetFetch) {
        guard let last = claims.claims.filter(\.isCertain).max(by: { $0.earliest < $1.earliest }) else { return }
        let expected = claims.claims.filter { $0.latestStable >= last.earliest }.map(\.offset).min() ?? last.offset
        guard (fetch.offset ?? -1) < expected else { return }
        if let transaction = last.transaction.map({ index.transactions[$0] }), index.isVisible(transaction) {
            tell(
                .tornTransaction, event, fetch, offsets: [last.offset] + (fetch.offset.map { [$0] } ?? []),
                transaction: transaction.number,
                "values of transaction \(transaction.number) are in the final read, and its offset \(last.offset) is "
                    + "not: group \(fetch.group) was told \(text(fetch.offset))")
        } else {
            tellBack(event, fetch, expected)
        }
    }

    /// Whose offset was told: an aborted transaction's, or that of one whose values are gone?
    private mutating func checkSource(
        _ event: Int, _ fetch: OffsetFetch, _ offset: Int64, _ sources: [OffsetClaims.Claim]
    ) {
        if sources.isEmpty {
            guard claims.aborted.contains(offset) else { return }
            tell(
                .abortedOffset, event, fetch, offsets: [offset],
                "group \(fetch.group) was told offset \(offset), which only an aborted transaction committed")
            return
        }
        let numbers = Set(sources.map(\.transaction))
        guard numbers.count == 1, let number = sources[0].transaction else { return }
        let transaction = index.transactions[number]
        let missing = index.missingValues(transaction)
        guard !index.isVisible(transaction), !missing.isEmpty else { return }
        tell(
            .tornTransaction, event, fetch, offsets: [offset], values: missing, transaction: transaction.number,
            "group \(fetch.group) was told offset \(offset) of transaction \(transaction.number), and its values "
                + "\(listed(missing)) are not in the final read")
    }

    private mutating func tellBack(_ event: Int, _ fetch: OffsetFetch, _ expected: Int64) {
        tell(
            .committedOffsetWentBack, event, fetch, offsets: [expected] + (fetch.offset.map { [$0] } ?? []),
            "group \(fetch.group) was told \(text(fetch.offset)), after \(expected) or more had been committed")
    }

    private func text(_ offset: Int64?) -> String { offset.map { "offset \($0)" } ?? "that there is none" }

    /// Once for an offset, however often it was told.
    private mutating func tell(
        _ kind: Anomaly.Kind, _ event: Int, _ fetch: OffsetFetch, offsets: [Int64], values: [ValueID] = [],
        transaction: Int? = nil, _ explanation: String
    ) {
        guard told.insert(Told(kind: kind, offset: fetch.offset)).inserted else { return }
        anomalies.append(
            Anomaly(
                kind, fetch.partition, offsets: offsets, values: values, process: index.process(event),
                group: fetch.group, transaction: transaction, explanation))
    }
}
