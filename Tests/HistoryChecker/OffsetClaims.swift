/// All that may have set one group's offset in one partition.
struct OffsetClaims {
    /// One commit, and when it took effect.
    struct Claim {
        let offset: Int64
        /// Into the index; nil for a plain commit.
        let transaction: Int?
        /// Counts for sure, though perhaps not by a known time.
        let isCertain: Bool
        /// It took effect no earlier. `Int.min` when nothing is known.
        let earliest: Int
        /// It took effect by then, as plain fetches see it. `Int.max` when nothing is known.
        let latest: Int
        /// The same for fetches that wait for open transactions. The end of a transaction is acknowledged before its
        /// markers are written, so that other fetches may be told the old offset for a while.
        let latestStable: Int
    }

    /// Those that no abort and no refusal undid.
    private(set) var claims: [Claim] = []
    /// Offsets of aborted transactions.
    private(set) var aborted: Set<Int64> = []
    /// With all events of one process their places in the history are their times.
    private let isOneProcess: Bool

    init(_ commits: [(event: Int, OffsetCommit)], fetches: [Int], _ index: HistoryIndex) {
        var processes = Set(commits.map { index.process($0.event) })
        processes.formUnion(fetches.map { index.process($0) })
        isOneProcess = processes.count == 1
        for (event, commit) in commits where commit.outcome != .refused {
            let transaction = commit.transaction.flatMap { index.transactionIndex($0) }
            if let transaction {
                add(commit, event, of: transaction, index)
            } else if commit.transaction == nil {
                let time = interval(event, index)
                let isAcknowledged = commit.outcome == .acknowledged
                let latest = isAcknowledged ? time?.completed ?? .max : .max
                claims.append(
                    Claim(
                        offset: commit.offset, transaction: nil, isCertain: isAcknowledged,
                        earliest: time?.invoked ?? .min, latest: latest, latestStable: latest))
            } else {
                // A transaction that nothing else in the history knows of: it may have committed or not.
                claims.append(
                    Claim(
                        offset: commit.offset, transaction: nil, isCertain: false, earliest: .min, latest: .max,
                        latestStable: .max))
            }
        }
    }

    private mutating func add(_ commit: OffsetCommit, _ event: Int, of number: Int, _ index: HistoryIndex) {
        let transaction = index.transactions[number]
        guard transaction.outcome != .aborted else {
            aborted.insert(commit.offset)
            return
        }
        let ends = transaction.ends.map { interval($0, index) }
        let known = ends.compactMap { $0 }
        let isKnown = !ends.isEmpty && known.count == ends.count
        let isAcknowledged = commit.outcome == .acknowledged
        let isCommitted = transaction.outcome == .committed
        claims.append(
            Claim(
                offset: commit.offset, transaction: number,
                isCertain: isAcknowledged && (isCommitted || index.isVisible(transaction)),
                earliest: (isKnown ? known.map(\.invoked).min() : interval(event, index)?.invoked) ?? .min,
                latest: .max,
                latestStable: isKnown && isCommitted && isAcknowledged ? known.map(\.completed).max() ?? .max : .max))
    }

    func interval(_ event: Int, _ index: HistoryIndex) -> Interval? {
        index.events[event].time ?? (isOneProcess ? Interval(invoked: event, completed: event) : nil)
    }

    /// The least offset that a fetch at this time may be told, or nil where nothing is known. Ask in the order of
    /// completion.
    struct LeastOffsets {
        private let claims: [Claim]
        private let latests: [Int]
        /// For the first so many claims by `latest`: the last beginning of a certain one.
        private let lastBeginnings: [Int?]
        private let byEarliest: [Int]
        private var begun = 0
        /// Over the claims that have begun: a Fenwick tree of the least offset from a rank on.
        private var least: [Int64]

        init(_ unordered: [Claim], stable: Bool) {
            func latest(_ claim: Claim) -> Int { stable ? claim.latestStable : claim.latest }
            let claims = unordered.sorted {
                (latest($0), $0.earliest, $0.offset) < (latest($1), $1.earliest, $1.offset)
            }
            self.claims = claims
            latests = claims.map(latest)
            byEarliest = claims.indices.sorted { (claims[$0].earliest, $0) < (claims[$1].earliest, $1) }
            least = Array(repeating: .max, count: claims.count + 1)
            var beginnings: [Int?] = [nil]
            for claim in claims {
                let before = beginnings[beginnings.count - 1]
                beginnings.append(claim.isCertain ? max(before ?? .min, claim.earliest) : before)
            }
            lastBeginnings = beginnings
        }

        mutating func at(_ time: Interval) -> Int64? {
            while begun < byEarliest.count, claims[byEarliest[begun]].earliest <= time.completed {
                insert(byEarliest[begun])
                begun += 1
            }
            guard let beginning = lastBeginnings[rank(time.invoked)] else { return nil }
            // What was over before the last certain commit began has been overwritten.
            var node = claims.count - rank(beginning)
            var result = Int64.max
            while node > 0 {
                result = min(result, least[node])
                node -= node & -node
            }
            return result
        }

        /// How many claims were over before the time.
        private func rank(_ time: Int) -> Int {
            var (low, high) = (0, latests.count)
            while low < high {
                let middle = (low + high) / 2
                if latests[middle] < time { low = middle + 1 } else { high = middle }
            }
            return low
        }

        private mutating func insert(_ number: Int) {
            var node = claims.count - number
            while node < least.count {
                least[node] = min(least[node], claims[number].offset)
                node += node & -node
            }
        }
    }
}
