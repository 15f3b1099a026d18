import KafkaProtocol

/// Where a producer's transaction stands: what belongs to it, whether it can still be committed, and which partitions
/// may be sent to. Without network and clock.
struct TransactionState: Sendable {
    enum Phase: Equatable {
        case idle
        case open
        case committing
        /// Nothing is sent any more; what is in flight comes to its end.
        case aborting
    }

    /// Who tells the coordinator which partitions belong to the transaction (KIP-890).
    enum Version: Equatable {
        /// The client, with AddPartitionsToTxn, before it sends to them.
        case clientAdds
        /// The broker that gets the first batch.
        case brokerAdds

        /// The highest version of Produce that means that.
        var maximumProduceVersion: Int16 { self == .brokerAdds ? 12 : 11 }
    }

    private(set) var phase = Phase.idle
    private(set) var version = Version.clientAdds
    /// Counts the transactions.
    private(set) var number = 0
    /// Why it cannot be committed.
    private(set) var failure: ClientError?
    /// The next transaction needs a new epoch from the coordinator, because numbers of this one are in doubt.
    private(set) var needsNewEpoch = false
    /// The coordinator may know of something that must be ended.
    private(set) var hasWork = false
    /// It is not known whether the coordinator has taken what it was told of, so that there may be nothing to end.
    private(set) var isWorkInDoubt = false
    private var added: Set<Int> = []
    private var wanted: Set<Int> = []
    private var asked: Set<Int> = []

    mutating func begin(_ version: Version) {
        precondition(phase == .idle && !needsNewEpoch)
        phase = .open
        self.version = version
        number += 1
        failure = nil
        hasWork = false
        isWorkInDoubt = false
        added = []
        wanted = []
        asked = []
    }

    /// Throws when nothing may be added now, to the transaction `wanted` or, when that is nil, to any.
    func checkOpen(_ wanted: Int? = nil) throws(ClientError) {
        if let wanted, phase != .open || wanted != number {
            throw ClientError(.invalidState, "the transaction is over")
        }
        guard phase == .open else {
            throw ClientError(.invalidState, "a transactional producer sends inside of withTransaction only")
        }
        if let failure { throw failure }
    }

    /// The transaction cannot be committed any more. The first reason counts; true when it is this one.
    mutating func fail(_ error: ClientError) -> Bool {
        guard phase == .open || phase == .committing, failure == nil else { return false }
        failure = ClientError(
            .transactionAborted, "the transaction must be aborted: \(error.message)", nextStep: error.nextStep,
            protocolCode: error.protocolCode)
        if version == .clientAdds { needsNewEpoch = true }
        return true
    }

    mutating func commit() {
        precondition(phase == .open)
        phase = .committing
    }

    mutating func abort() {
        precondition(phase != .idle)
        phase = .aborting
    }

    /// The coordinator has ended it, or there was nothing to end.
    mutating func finish() {
        phase = .idle
    }

    mutating func requireNewEpoch() {
        needsNewEpoch = true
    }

    /// What was sent may or may not have arrived, or arrives yet. With version 1 the next transaction would go on with the
    /// same epoch and numbers, even after a plain abort.
    mutating func didLeaveDoubt() {
        if version == .clientAdds, phase != .idle { needsNewEpoch = true }
    }

    mutating func didGetNewEpoch() {
        needsNewEpoch = false
    }

    /// A batch or offsets are sent, of which the coordinator knows or learns, or it is told of some.
    mutating func willSend() {
        hasWork = true
    }

    // MARK: Partitions

    /// Whether a batch of the partition may be sent now. If the coordinator must learn of it first, it will.
    mutating func admits(_ slot: Int) -> Bool {
        guard phase == .open || phase == .committing, failure == nil else { return false }
        switch version {
        case .brokerAdds:
            return true
        case .clientAdds:
            if added.contains(slot) { return true }
            if !asked.contains(slot) { wanted.insert(slot) }
            return false
        }
    }

    /// Partitions to tell the coordinator of: at most one request at a time.
    mutating func takeWanted() -> [Int] {
        guard asked.isEmpty, !wanted.isEmpty, failure == nil, phase != .aborting else { return [] }
        asked = wanted
        wanted = []
        // An answer that gets lost does not mean that the coordinator knows nothing.
        hasWork = true
        return asked.sorted()
    }

    /// The coordinator has taken those that were asked for.
    mutating func didAdd() {
        added.formUnion(asked)
        asked = []
    }

    /// It has refused them, or its answer was lost.
    mutating func didFailToAdd() {
        isWorkInDoubt = true
        asked = []
    }

    /// The same for a group's offsets, of which the coordinator is told apart from the partitions.
    mutating func didFailToAddOffsets() {
        isWorkInDoubt = true
    }

    /// Whether an error of the coordinator at the end means that it had nothing to end.
    func meansNothingToEnd(_ error: ClientError, commit: Bool) -> Bool {
        !commit && isWorkInDoubt && error.protocolCode == .invalidTxnState
    }
}

/// What an error of the coordinator, or of a group's when it takes offsets, means for the producer, as in Kafka's client.
enum TransactionVerdict: Equatable {
    /// It passes.
    case retry
    /// The transaction must be aborted.
    case abort
    /// Another producer has taken over.
    case fenced
    /// The producer cannot go on.
    case fatal

    init(_ code: ErrorCode) {
        switch code {
        case .invalidProducerEpoch, .producerFenced: self = .fenced
        case .unknownProducerId, .invalidProducerIdMapping, .transactionAbortable, .groupAuthorizationFailed,
            .topicAuthorizationFailed, .fencedInstanceId, .unknownMemberId, .illegalGeneration,
            .operationNotAttempted, .staleMemberEpoch:
            self = .abort
        default: self = code.isRetriable ? .retry : .fatal
        }
    }
}
