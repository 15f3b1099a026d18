/// Where a transactional id stands. The numbers are those of the log.
enum TransactionState: Int8, Sendable, CaseIterable {
    case empty = 0
    case ongoing = 1
    case prepareCommit = 2
    case prepareAbort = 3
    case completeCommit = 4
    case completeAbort = 5
    /// Neither this nor the next is ever written or held; they are names that clients may filter by.
    case dead = 6
    case prepareEpochFence = 7

    /// As DescribeTransactions and ListTransactions call it.
    var name: String {
        switch self {
        case .empty: "Empty"
        case .ongoing: "Ongoing"
        case .prepareCommit: "PrepareCommit"
        case .prepareAbort: "PrepareAbort"
        case .completeCommit: "CompleteCommit"
        case .completeAbort: "CompleteAbort"
        case .dead: "Dead"
        case .prepareEpochFence: "PrepareEpochFence"
        }
    }

    init?(name: String) {
        guard let state = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }

    /// Whether the outcome is decided and not yet told to all partitions.
    var isPrepared: Bool { self == .prepareCommit || self == .prepareAbort }

    /// Whether there is no transaction, open or decided.
    var isIdle: Bool { self == .empty || self == .completeCommit || self == .completeAbort }
}
