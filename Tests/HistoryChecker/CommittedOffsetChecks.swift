/// What consumers commit: beyond the end of the log, or back from where they were.
func committedOffsetAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    offsetsAhead(index) + commitsGoingBack(index)
}

/// Committed offsets, as acknowledged or as told, that no reader of the partition can have come to.
private func offsetsAhead(_ index: HistoryIndex) -> [Anomaly] {
    struct Place: Hashable {
        let group: String
        let partition: TopicPartition
        let offset: Int64
    }
    let limits = endOffsets(index)
    var told: Set<Place> = []
    var anomalies: [Anomaly] = []
    func look(_ group: String, _ partition: TopicPartition, _ offset: Int64, _ event: Int) {
        guard let limit = limits[partition], offset > limit else { return }
        guard told.insert(Place(group: group, partition: partition, offset: offset)).inserted else { return }
        anomalies.append(
            Anomaly(
                .offsetCommittedAhead, partition, offsets: [limit, offset], process: index.process(event), group: group,
                "group \(group) stands at offset \(offset), and the partition ends at \(limit)"))
    }
    for case .commit(let event, _, _, let commit) in index.steps where commit.outcome == .acknowledged {
        look(commit.group, commit.partition, commit.offset, event)
    }
    for (event, fetch) in index.fetches {
        if let offset = fetch.offset { look(fetch.group, fetch.partition, offset, event) }
    }
    return anomalies
}

/// Where each partition ends, as far as the final read tells: without an end offset, markers of transactions may lie
/// behind the last value, so that nothing is known of partitions that transactions wrote to.
private func endOffsets(_ index: HistoryIndex) -> [TopicPartition: Int64] {
    var hasMarkers = [Bool](repeating: false, count: index.finals.count)
    for send in index.sends where send.transaction != nil { hasMarkers[index.values[send.value].partition] = true }
    var limits: [TopicPartition: Int64] = [:]
    for (partition, log) in index.finals.enumerated() {
        guard let log else { continue }
        if let end = log.endOffset {
            limits[index.name(partition)] = end
        } else if !hasMarkers[partition] {
            limits[index.name(partition)] = (log.entries.map(\.offset).max() ?? -1) + 1
        }
    }
    return limits
}

/// A consumer that commits less than before, though it was neither reassigned nor moved.
private func commitsGoingBack(_ index: HistoryIndex) -> [Anomaly] {
    struct Consumer: Hashable {
        let process: Int
        let partition: Int
    }
    var last: [Consumer: [String: Int64]] = [:]
    var anomalies: [Anomaly] = []
    for step in index.steps {
        switch step {
        case .poll: break
        case .forget(let process, let partition), .set(let process, let partition, _):
            last[.init(process: process, partition: partition)] = nil
        case .commit(let event, let process, let partition, let commit):
            guard commit.outcome == .acknowledged, index.isPlainOrCommitted(commit) else { continue }
            let consumer = Consumer(process: process, partition: partition)
            if let before = last[consumer]?[commit.group], commit.offset < before {
                anomalies.append(
                    Anomaly(
                        .committedOffsetWentBack, commit.partition, offsets: [before, commit.offset],
                        process: index.process(event), group: commit.group, transaction: commit.transaction,
                        "\(index.process(event)) committed \(before) for group \(commit.group) and then "
                            + "\(commit.offset), without a rebalance or seek between"))
            }
            last[consumer, default: [:]][commit.group] = commit.offset
        }
    }
    return anomalies
}

extension HistoryIndex {
    fileprivate func isPlainOrCommitted(_ commit: OffsetCommit) -> Bool {
        guard let number = commit.transaction else { return true }
        return transactionIndex(number).map { transactions[$0].outcome } == .committed
    }
}
