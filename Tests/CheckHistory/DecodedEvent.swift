import HistoryChecker

/// An event as its JSON object tells it; `formatHelp` describes the fields.
struct DecodedEvent: Decodable {
    let event: Event
    private(set) var sources: [ExactlyOnce.Source?] = []

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        let operation: Operation
        switch try fields.required("type", String.self) {
        case "send": operation = .send(try DecodedEvent.send(fields))
        case "transaction-end": operation = .transactionEnd(try DecodedEvent.transactionEnd(fields))
        case "poll": operation = .poll(try DecodedEvent.poll(fields))
        case "assigned": operation = .position(.assigned(try DecodedEvent.partitions(fields)))
        case "revoked": operation = .position(.revoked(try DecodedEvent.partitions(fields)))
        case "position": operation = .position(try DecodedEvent.position(fields))
        case "offset-commit": operation = .offsetCommit(try DecodedEvent.offsetCommit(fields))
        case "offset-fetch": operation = .offsetFetch(try DecodedEvent.offsetFetch(fields))
        case "final-read":
            let (read, sources) = try DecodedEvent.finalRead(fields)
            operation = .finalRead(read)
            self.sources = sources
        case let type: throw fields.corrupted("unknown type \"\(type)\"")
        }
        event = Event(process: try fields.required("process"), time: try DecodedEvent.time(fields), operation)
    }

    private static let common: Set = ["type", "process", "time"]

    private static func time(_ fields: Fields) throws -> Interval? {
        guard let time = try fields.optional("time", [Int].self) else { return nil }
        guard time.count == 2 else { throw fields.corrupted("\"time\" is not [invoked, completed]") }
        return Interval(invoked: time[0], completed: time[1])
    }

    private static func send(_ fields: Fields) throws -> Send {
        try fields.requireOnly(sendFields)
        let offset = try fields.optional("offset", Int64.self)
        let outcome: Send.Outcome = try fields.oneOf(
            "outcome", ["acknowledged": .acknowledged(offset: offset), "refused": .refused, "unknown": .unknown])
        if case .acknowledged = outcome {
        } else if offset != nil {
            throw fields.corrupted("an offset without an acknowledgement")
        }
        return Send(
            try fields.required("value", DecodedValue.self).id, to: try fields.partition(),
            transaction: try fields.optional("transaction"), isIdempotent: try fields.optional("idempotent") ?? true,
            outcome)
    }

    private static let sendFields = common.union([
        "topic", "partition", "value", "transaction", "idempotent", "outcome", "offset",
    ])

    private static func transactionEnd(_ fields: Fields) throws -> TransactionEnd {
        try fields.requireOnly(transactionEndFields)
        return TransactionEnd(
            try fields.required("transaction"),
            try fields.oneOf("outcome", ["committed": .committed, "aborted": .aborted, "unknown": .unknown]))
    }

    private static let transactionEndFields = common.union(["transaction", "outcome"])

    private static func poll(_ fields: Fields) throws -> Poll {
        try fields.requireOnly(pollFields)
        return Poll(
            try fields.oneOf("isolation", ["read_committed": .readCommitted, "read_uncommitted": .readUncommitted]),
            try fields.required("records", [DecodedRecord].self).map(\.record))
    }

    private static let pollFields = common.union(["isolation", "records"])

    private static func partitions(_ fields: Fields) throws -> [TopicPartition] {
        try fields.requireOnly(partitionsFields)
        return try fields.required("partitions", [DecodedPartition].self).map(\.partition)
    }

    private static let partitionsFields = common.union(["partitions"])

    private static func position(_ fields: Fields) throws -> PositionMark {
        try fields.requireOnly(positionFields)
        return .set(try fields.partition(), offset: try fields.required("offset"))
    }

    private static let positionFields = common.union(["topic", "partition", "offset"])

    private static func offsetCommit(_ fields: Fields) throws -> OffsetCommit {
        try fields.requireOnly(offsetCommitFields)
        return OffsetCommit(
            try fields.required("group"), try fields.partition(), offset: try fields.required("offset"),
            transaction: try fields.optional("transaction"),
            try fields.oneOf("outcome", ["acknowledged": .acknowledged, "refused": .refused, "unknown": .unknown]))
    }

    private static let offsetCommitFields = common.union([
        "group", "topic", "partition", "offset", "transaction", "outcome",
    ])

    private static func offsetFetch(_ fields: Fields) throws -> OffsetFetch {
        try fields.requireOnly(offsetFetchFields)
        return OffsetFetch(
            try fields.required("group"), try fields.partition(), offset: try fields.optional("offset"),
            requiresStable: try fields.optional("requiresStable") ?? true,
            isFinal: try fields.optional("final") ?? false)
    }

    private static let offsetFetchFields = common.union([
        "group", "topic", "partition", "offset", "requiresStable", "final",
    ])

    private static func finalRead(_ fields: Fields) throws -> (FinalRead, [ExactlyOnce.Source?]) {
        try fields.requireOnly(finalReadFields)
        let entries = try fields.required("records", [DecodedEntry].self)
        let read = FinalRead(
            try fields.partition(), entries.map(\.entry), endOffset: try fields.optional("endOffset"))
        return (read, entries.map(\.source))
    }

    private static let finalReadFields = common.union(["topic", "partition", "records", "endOffset"])
}

private struct DecodedPartition: Decodable {
    let partition: TopicPartition

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        try fields.requireOnly(["topic", "partition"])
        partition = try fields.partition()
    }
}

private struct DecodedRecord: Decodable {
    private static let known: Set = ["topic", "partition", "offset", "value"]
    let record: Record

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        try fields.requireOnly(DecodedRecord.known)
        record = Record(
            try fields.partition(), offset: try fields.required("offset"),
            value: try fields.required("value", DecodedValue.self).id)
    }
}

private struct DecodedEntry: Decodable {
    private static let known: Set = ["offset", "value", "source"]
    let entry: FinalRead.Entry
    let source: ExactlyOnce.Source?

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        try fields.requireOnly(DecodedEntry.known)
        entry = FinalRead.Entry(
            offset: try fields.required("offset"), value: try fields.required("value", DecodedValue.self).id)
        source = try fields.optional("source", DecodedSource.self)?.source
    }
}

private struct DecodedSource: Decodable {
    let source: ExactlyOnce.Source

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        try fields.requireOnly(["topic", "partition", "offset", "value"])
        let partition = try fields.partition()
        let value = try fields.optional("value", DecodedValue.self)?.id
        switch (try fields.optional("offset", Int64.self), value) {
        case (let offset?, nil): source = .offset(partition, offset)
        case (nil, let value?): source = .value(partition, value)
        default: throw fields.corrupted("a source has either \"offset\" or \"value\"")
        }
    }
}
