/// A place where a history breaks a promise, named so that it can be found in the history and in the log.
package struct Anomaly: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case lostWrite = "lost-write"
        case misplacedWrite = "misplaced-write"
        case duplicate
        case abortedRead = "aborted-read"
        case precommittedRead = "precommitted-read"
        case tornTransaction = "torn-transaction"
        case inconsistentOffsets = "inconsistent-offsets"
        case skippedPoll = "skipped-poll"
        case nonMonotonicPoll = "non-monotonic-poll"
        case nonMonotonicSend = "non-monotonic-send"
        case reorderedWrites = "reordered-writes"
        case offsetCommittedAhead = "offset-committed-ahead"
        case committedOffsetWentBack = "committed-offset-went-back"
        case abortedOffset = "aborted-offset"
        case notProcessed = "not-processed"
        case processedAgain = "processed-again"
        case processedFromNowhere = "processed-from-nowhere"
    }

    package var kind: Kind
    package var partition: TopicPartition
    /// Those that the anomaly is about, at most `listLimit`.
    package var offsets: [Int64]
    package var values: [ValueID]
    /// Who did or saw it, where one process did.
    package var process: String?
    package var group: String?
    package var transaction: Int?
    /// One line for people.
    package var explanation: String

    /// How many offsets and values one anomaly lists; the explanation counts them all.
    package static let listLimit = 100

    package init(
        _ kind: Kind, _ partition: TopicPartition, offsets: [Int64] = [], values: [ValueID] = [],
        process: String? = nil, group: String? = nil, transaction: Int? = nil, _ explanation: String
    ) {
        self.kind = kind
        self.partition = partition
        self.offsets = Array(offsets.prefix(Anomaly.listLimit))
        self.values = Array(values.prefix(Anomaly.listLimit))
        self.process = process
        self.group = group
        self.transaction = transaction
        self.explanation = explanation
    }
}

extension Anomaly: CustomStringConvertible {
    package var description: String { "\(kind.rawValue) \(partition): \(explanation)" }
}

extension [Anomaly] {
    /// Any two runs over one history print the same text.
    func inStableOrder() -> [Anomaly] {
        let rank = Dictionary(uniqueKeysWithValues: zip(Anomaly.Kind.allCases, 0...))
        return sorted { left, right in
            if left.kind != right.kind { return rank[left.kind]! < rank[right.kind]! }
            if left.partition != right.partition { return left.partition < right.partition }
            if left.offsets != right.offsets { return left.offsets.lexicographicallyPrecedes(right.offsets) }
            if left.values != right.values { return left.values.lexicographicallyPrecedes(right.values) }
            return left.explanation < right.explanation
        }
    }
}
