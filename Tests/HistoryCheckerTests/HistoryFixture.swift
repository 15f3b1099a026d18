import HistoryChecker
import Testing

let t0 = TopicPartition("t", 0)
let t1 = TopicPartition("t", 1)

extension History {
    mutating func send(
        _ value: ValueID, to partition: TopicPartition = t0, by process: String = "p", at offset: Int64? = nil,
        transaction: Int? = nil, isIdempotent: Bool = true, time: Interval? = nil, outcome: Send.Outcome? = nil
    ) {
        let outcome = outcome ?? .acknowledged(offset: offset)
        record(
            process, time: time,
            .send(Send(value, to: partition, transaction: transaction, isIdempotent: isIdempotent, outcome)))
    }

    mutating func end(
        _ transaction: Int, _ outcome: TransactionEnd.Outcome, by process: String = "p", time: Interval? = nil
    ) {
        record(process, time: time, .transactionEnd(TransactionEnd(transaction, outcome)))
    }

    mutating func poll(
        _ entries: KeyValuePairs<Int64, ValueID>, by process: String = "c",
        at isolation: IsolationLevel = .readCommitted,
        of partition: TopicPartition = t0, time: Interval? = nil
    ) {
        let records = entries.map { Record(partition, offset: $0.key, value: $0.value) }
        record(process, time: time, .poll(Poll(isolation, records)))
    }

    mutating func finalRead(
        _ entries: KeyValuePairs<Int64, ValueID>, of partition: TopicPartition = t0, end: Int64? = nil
    ) {
        let entries = entries.map { FinalRead.Entry(offset: $0.key, value: $0.value) }
        record("reader", .finalRead(FinalRead(partition, entries, endOffset: end)))
    }

    mutating func commit(
        _ offset: Int64, by process: String = "c", transaction: Int? = nil, time: Interval? = nil,
        outcome: OffsetCommit.Outcome = .acknowledged
    ) {
        record(
            process, time: time, .offsetCommit(OffsetCommit("g", t0, offset: offset, transaction: transaction, outcome))
        )
    }

    mutating func fetch(
        _ offset: Int64?, by process: String = "c", stable: Bool = true, final: Bool = false, time: Interval? = nil
    ) {
        record(
            process, time: time,
            .offsetFetch(OffsetFetch("g", t0, offset: offset, requiresStable: stable, isFinal: final)))
    }

    /// What the checker says of it, in short: kind, partition, offsets, values.
    func verdict() throws -> [String] {
        try anomalies().map { "\($0.kind.rawValue) \($0.partition) \($0.offsets) \($0.values)" }
    }
}

func span(_ invoked: Int, _ completed: Int) -> Interval {
    Interval(invoked: invoked, completed: completed)
}
