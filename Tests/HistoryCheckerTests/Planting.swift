import HistoryChecker
import TestSupport

/// What was put into a clean history, and what else it must bring about.
struct Planted {
    let kind: Anomaly.Kind
    let partition: TopicPartition
    var offsets: [Int64] = []
    var values: [ValueID] = []
    /// Other kinds that the same damage can amount to.
    var alsoAllowed: Set<Anomaly.Kind> = []

    func isFound(in anomalies: [Anomaly]) -> Bool {
        anomalies.contains(where: matches)
    }

    func strangers(in anomalies: [Anomaly]) -> [Anomaly] {
        anomalies.filter { !matches($0) && !alsoAllowed.contains($0.kind) }
    }

    private func matches(_ anomaly: Anomaly) -> Bool {
        anomaly.kind == kind && anomaly.partition == partition && anomaly.offsets == offsets && anomaly.values == values
    }
}

/// A history that can be damaged, with what is known of its values.
struct Garden {
    struct Written {
        let send: Send
        let process: String
        let offset: Int64
        let isVisible: Bool
    }

    var history: History
    var random: SeededGenerator
    /// By partition and producer, in the order of the log: values whose send wrote them.
    let written: [Written]
    let refused: [Send]
    let endOffsets: [TopicPartition: Int64]

    init(seed: UInt64) {
        let (history, cluster) = ModelCluster.history(seed: seed)
        self.history = history
        random = SeededGenerator(seed: seed ^ 0xABCD)
        var sends: [TopicPartition: [ValueID: (Send, String)]] = [:]
        var refused: [Send] = []
        for event in history.events {
            guard case .send(let send) = event.operation else { continue }
            sends[send.partition, default: [:]][send.value] = (send, event.process)
            if send.outcome == .refused { refused.append(send) }
        }
        var written: [Written] = []
        for partition in cluster.partitions {
            for (offset, entry) in cluster.logs[partition, default: []].enumerated() where !entry.isMarker {
                let (send, process) = sends[partition]![entry.value]!
                guard send.isIdempotent else { continue }
                let isVisible = entry.transaction.map { !cluster.aborted.contains($0) } ?? true
                written.append(Written(send: send, process: process, offset: Int64(offset), isVisible: isVisible))
            }
        }
        self.written = written
        self.refused = refused
        endOffsets = cluster.logs.mapValues { Int64($0.count) }
    }

    /// The outcomes that the history tells of transactions.
    var outcomes: [Int: TransactionEnd.Outcome] {
        var outcomes: [Int: TransactionEnd.Outcome] = [:]
        for case .transactionEnd(let end) in history.events.map(\.operation) { outcomes[end.transaction] = end.outcome }
        return outcomes
    }

    func isPromised(_ write: Written) -> Bool {
        guard write.isVisible, case .acknowledged(.some) = write.send.outcome else { return false }
        return write.send.transaction.map { outcomes[$0] == .committed } ?? true
    }

    mutating func pick<Element>(_ candidates: [Element]) -> Element? {
        candidates.randomElement(using: &random)
    }

    // MARK: Damage

    mutating func edit(_ change: (inout HistoryChecker.Operation) -> Void) {
        for number in history.events.indices { change(&history.events[number].operation) }
    }

    mutating func removeFromFinalRead(_ write: Written) {
        edit { operation in
            guard case .finalRead(var read) = operation, read.partition == write.send.partition else { return }
            read.entries.removeAll { $0.value == write.send.value }
            operation = .finalRead(read)
        }
    }

    mutating func insertIntoFinalRead(_ partition: TopicPartition, _ value: ValueID, at offset: Int64) {
        var entries: [FinalRead.Entry] = []
        edit { operation in
            guard case .finalRead(let read) = operation, read.partition == partition else { return }
            entries += read.entries
            operation = .finalRead(FinalRead(partition, [], endOffset: read.endOffset))
        }
        let place = entries.firstIndex { $0.offset > offset } ?? entries.count
        entries.insert(.init(offset: offset, value: value), at: place)
        history.record("reader", .finalRead(FinalRead(partition, entries)))
    }

    /// As if the broker had written the two in each other's place.
    mutating func swapEverywhere(_ first: Written, _ second: Written) {
        let partition = first.send.partition
        let places = [first.send.value: second.offset, second.send.value: first.offset]
        let values = [first.offset: second.send.value, second.offset: first.send.value]
        edit { operation in
            switch operation {
            case .send(var send) where send.partition == partition:
                guard let offset = places[send.value], case .acknowledged(.some) = send.outcome else { return }
                send.outcome = .acknowledged(offset: offset)
                operation = .send(send)
            case .poll(var poll):
                for number in poll.records.indices where poll.records[number].partition == partition {
                    if let value = values[poll.records[number].offset] { poll.records[number].value = value }
                }
                operation = .poll(poll)
            case .finalRead(var read) where read.partition == partition:
                for number in read.entries.indices {
                    if let value = values[read.entries[number].offset] { read.entries[number].value = value }
                }
                operation = .finalRead(read)
            default: break
            }
        }
    }
}
