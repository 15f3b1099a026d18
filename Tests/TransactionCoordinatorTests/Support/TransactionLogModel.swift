import CoordinatorCore
import KafkaProtocol

@testable import TransactionCoordinator

/// What the durable log may say, told without the machine: which record may follow which, and who must have asked for
/// it.
struct TransactionLogModel {
    struct Decision: Hashable {
        var transactionalId: String
        var owner: TransactionalProducer
        var isCommit: Bool
    }

    struct Membership: Hashable {
        var transactionalId: String
        var owner: TransactionalProducer
        var partition: TransactionPartition
    }

    private var last: [String: TransactionMetadata] = [:]
    /// The latest producer of each id, also after it is forgotten.
    private var latest: [String: TransactionalProducer] = [:]
    /// What producers asked for.
    var requestedEnds: Set<Decision> = []
    /// What the log says.
    private(set) var decisions: Set<Decision> = []
    private(set) var memberships: Set<Membership> = []
    /// How often each id was decided, which names its decisions.
    private var decisionCounts: [String: Int] = [:]
    /// The latest decision whose end is in place in all partitions.
    private var settled: [String: Int] = [:]

    func currentDecision(_ id: String) -> Int { decisionCounts[id, default: 0] }

    mutating func settle(_ id: String, decision: Int) {
        settled[id] = max(settled[id, default: 0], decision)
    }

    func current(_ id: String) -> TransactionMetadata? { last[id] }

    /// Takes what was there before.
    mutating func start(_ id: String, _ metadata: TransactionMetadata) {
        last[id] = metadata
        latest[id] = metadata.producer
    }

    /// Why the record must not be in the log; nil if it may.
    mutating func take(_ record: CoordinatorRecord) -> String? {
        switch try? TransactionRecord.decode(key: record.key, value: record.value) {
        case nil, .unknown: return "unreadable"
        case .tombstone(let id):
            guard let before = last.removeValue(forKey: id), before.state.isIdle else { return "forgotten too early" }
            return nil
        case .metadata(let id, let after):
            let before = last.updateValue(after, forKey: id)
            defer { latest[id] = after.producer }
            if let latest = latest[id], (after.producer.id, after.producer.epoch) < (latest.id, latest.epoch) {
                return "a producer comes back"
            }
            guard let before else {
                return after.state == .empty && after.producer.epoch == 0
                    && latest[id].map { $0.id < after.producer.id } != false ? nil : "begins in the middle"
            }
            guard after.lastUpdateTimestamp >= before.lastUpdateTimestamp else { return "goes back in time" }
            return refusal(id, before, after)
        }
    }

    private mutating func refusal(
        _ id: String, _ before: TransactionMetadata, _ after: TransactionMetadata
    ) -> String? {
        let kept = after.producer == before.producer
        let next = TransactionalProducer(id: before.producer.id, epoch: before.producer.epoch &+ 1)
        let isUsedUp = before.producer.epoch >= 32_766
        switch (before.state, after.state) {
        case (.empty, .empty), (.completeCommit, .empty), (.completeAbort, .empty):
            let isNew = isUsedUp && after.producer.id > before.producer.id && after.producer.epoch == 0
            return kept || isNew || !isUsedUp && after.producer == next ? nil : "begins with a strange epoch"
        case (.empty, .ongoing), (.completeCommit, .ongoing), (.completeAbort, .ongoing), (.ongoing, .ongoing):
            for partition in after.partitions {
                memberships.insert(Membership(transactionalId: id, owner: after.producer, partition: partition))
            }
            let isOpen = before.state == .ongoing
            return kept && (!isOpen || after.partitions.isSuperset(of: before.partitions)) ? nil : "strange partitions"
        case (_, .prepareCommit), (_, .prepareAbort):
            let isCommit = after.state == .prepareCommit
            guard !before.state.isPrepared else { return "decided twice" }
            let decision = Decision(transactionalId: id, owner: before.producer, isCommit: isCommit)
            if before.state == .ongoing ? isCommit : true, !requestedEnds.contains(decision) {
                return "nobody asked for this end"
            }
            if before.state != .ongoing && (isCommit || !after.partitions.isEmpty) { return "committed nothing" }
            if before.state == .ongoing && after.partitions != before.partitions { return "forgot partitions" }
            decisions.insert(decision)
            decisionCounts[id, default: 0] += 1
            if after.clientTransactionVersion < 2 { return kept && after.nextProducerId == -1 ? nil : "strange epoch" }
            return after.producer == next && (after.nextProducerId != -1) == isUsedUp ? nil : "strange next epoch"
        case (.prepareCommit, .completeCommit), (.prepareAbort, .completeAbort):
            if !before.partitions.isEmpty && settled[id] != decisionCounts[id] { return "complete too early" }
            let isReplaced = after.producer == TransactionalProducer(id: before.nextProducerId, epoch: 0)
            return (before.nextProducerId == -1 ? kept : isReplaced) ? nil : "goes on as somebody else"
        default:
            return "\(before.state) to \(after.state)"
        }
    }
}
