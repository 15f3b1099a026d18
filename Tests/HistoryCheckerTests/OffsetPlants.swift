import HistoryChecker

extension Plant {
    static let offsets = [
        Plant("an offset is committed beyond the end") { garden in
            let ends = garden.endOffsets.sorted { $0.key < $1.key }
            guard let (partition, end) = garden.pick(ends) else { return nil }
            garden.history.record("x", .offsetCommit(OffsetCommit("x", partition, offset: end + 2, .acknowledged)))
            return Planted(kind: .offsetCommittedAhead, partition: partition, offsets: [end, end + 2])
        },
        Plant("a consumer commits less than before") { garden in
            let commits = garden.commits.filter {
                $0.transaction == nil && $0.outcome == .acknowledged && $0.offset > 0
            }
            guard let commit = garden.pick(commits) else { return nil }
            garden.history.record("x", .offsetCommit(OffsetCommit("x", commit.partition, offset: 1, .acknowledged)))
            garden.history.record("x", .offsetCommit(OffsetCommit("x", commit.partition, offset: 0, .acknowledged)))
            return Planted(kind: .committedOffsetWentBack, partition: commit.partition, offsets: [1, 0])
        },
        Plant("a group is told less than was committed") { garden in
            let group = "h"
            let commits = garden.commits.filter { $0.group == group && $0.outcome == .acknowledged && $0.offset > 0 }
            guard let commit = garden.pick(commits) else { return nil }
            // The end of time: everything before has been answered.
            let last = garden.history.events.compactMap { $0.time?.completed }.max()
            let fetch = OffsetFetch(group, commit.partition, offset: nil)
            let process = last == nil ? "c3" : "x"
            garden.history.record(
                process, time: last.map { Interval(invoked: $0 + 1, completed: $0 + 2) }, .offsetFetch(fetch))
            let least = garden.leastPossible(group, commit.partition)
            return Planted(kind: .committedOffsetWentBack, partition: commit.partition, offsets: [least])
        },
        Plant("the offsets of a transaction are gone") { garden in
            // Only one transaction commits offsets of the partition, and its values are there.
            let sole = Dictionary(grouping: garden.commits.filter { $0.group == "loop" }, by: \.partition)
                .filter { $0.value.count == 1 }.values.map { $0[0] }.sorted { $0.partition < $1.partition }
            let visible = Set(garden.written.filter(\.isVisible).compactMap(\.send.transaction))
            let candidates = sole.filter { $0.outcome == .acknowledged && visible.contains($0.transaction!) }
            guard let commit = garden.pick(candidates) else { return nil }
            garden.edit { operation in
                guard case .offsetFetch(var fetch) = operation, fetch.group == "loop",
                    fetch.partition == commit.partition
                else { return }
                fetch.offset = nil
                operation = .offsetFetch(fetch)
            }
            return Planted(
                kind: .tornTransaction, partition: commit.partition, offsets: [commit.offset],
                alsoAllowed: [.committedOffsetWentBack])
        },
        Plant("a group is told an aborted offset") { garden in
            let outcomes = garden.outcomes
            let (aborted, others) = garden.commits.partitioned {
                $0.transaction.map { outcomes[$0] == .aborted } ?? false
            }
            let only = aborted.filter { commit in
                commit.outcome != .refused
                    && !others.contains {
                        $0.group == commit.group && $0.partition == commit.partition && $0.offset == commit.offset
                    }
            }
            guard let commit = garden.pick(only) else { return nil }
            garden.history.record("x", .offsetFetch(OffsetFetch(commit.group, commit.partition, offset: commit.offset)))
            return Planted(kind: .abortedOffset, partition: commit.partition, offsets: [commit.offset])
        },
    ]
}

extension Garden {
    var commits: [OffsetCommit] {
        history.events.compactMap { if case .offsetCommit(let commit) = $0.operation { commit } else { nil } }
    }

    /// What a group of one consumer may be told at the end: its last acknowledged commit, or one without an answer.
    func leastPossible(_ group: String, _ partition: TopicPartition) -> Int64 {
        let own = commits.filter { $0.group == group && $0.partition == partition && $0.outcome != .refused }
        let last = own.last { $0.outcome == .acknowledged }!
        return min(last.offset, own.filter { $0.outcome == .unknown }.map(\.offset).min() ?? .max)
    }
}

extension Array {
    fileprivate func partitioned(by condition: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
        (filter(condition), filter { !condition($0) })
    }
}
