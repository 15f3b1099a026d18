/// One partition on its way from what it is to what it shall be. Every decision about an existing partition ends in
/// `settle`, so that what is promised of leaders and in-sync sets is kept in one place:
///
/// - the leader is one of the in-sync replicas, or there is none;
/// - a replica that is away leaves the in-sync set only while one that is there stays in it. When all are away, all
///   stay:
///   each of them has every acknowledged record, and the first to return may lead;
/// - nobody who is not in sync leads, unless that was allowed.
struct PartitionChange {
    enum Preference {
        /// Whoever leads goes on.
        case current
        /// The first replica leads if it can.
        case preferred
    }

    private let before: PartitionMetadata
    private let brokers: BrokerEligibility
    var partition: PartitionMetadata
    /// Whether a replica that may lack acknowledged records became the leader, or the in-sync set.
    private(set) var isUnclean = false

    init(_ partition: PartitionMetadata, _ brokers: BrokerEligibility) {
        before = partition
        self.partition = partition
        self.brokers = brokers
    }

    /// What the partition becomes, under its new epochs; nil when nothing changed.
    var result: PartitionMetadata? {
        guard partition != before else { return nil }
        var result = partition
        if result.leader != before.leader { result.leaderEpoch += 1 }
        result.partitionEpoch += 1
        return result
    }

    /// Whether `settle` would change nothing.
    static func isSettled(_ partition: PartitionMetadata, _ brokers: BrokerEligibility) -> Bool {
        !partition.isReassigned && brokers.isEligible(partition.leader)
            && partition.inSyncReplicas.contains(partition.leader)
            && partition.inSyncReplicas.allSatisfy(brokers.isEligible)
    }

    mutating func settle(_ preference: Preference = .current, isUncleanAllowed: () -> Bool = { false }) {
        removeThoseAway()
        elect(preference, isUncleanAllowed)
        if completeReassignment() { elect(preference, isUncleanAllowed) }
    }

    /// Takes those out of the in-sync set that are away, if that leaves somebody who is there.
    mutating func removeThoseAway() {
        let eligible = partition.inSyncReplicas.filter(brokers.isEligible)
        if !eligible.isEmpty {
            partition.inSyncReplicas = eligible
        } else if isLedByOneAboutToStop {
            partition.inSyncReplicas.removeAll { !brokers.isServing($0) }
        }
    }

    /// It goes on leading until somebody else is in sync or it is gone.
    private var isLedByOneAboutToStop: Bool {
        brokers.isServing(partition.leader) && partition.inSyncReplicas.contains(partition.leader)
    }

    private func canLead(_ replica: Int32) -> Bool {
        brokers.isEligible(replica) && partition.inSyncReplicas.contains(replica)
    }

    private mutating func elect(_ preference: Preference, _ isUncleanAllowed: () -> Bool) {
        if preference == .preferred, let first = partition.replicas.first, canLead(first) {
            partition.leader = first
        } else if canLead(partition.leader) {
            return
        } else if let next = partition.replicas.first(where: canLead) {
            partition.leader = next
        } else if isLedByOneAboutToStop {
            return
        } else if let next = partition.replicas.first(where: brokers.isEligible), isUncleanAllowed() {
            lead(uncleanly: next)
        } else {
            partition.leader = -1
        }
    }

    /// What the new leader lacks is lost: the others follow it.
    private mutating func lead(uncleanly replica: Int32) {
        partition.leader = replica
        partition.inSyncReplicas = [replica]
        isUnclean = true
    }

    // MARK: Reassignment

    /// Ends the reassignment if all that shall stay are there and in sync; those that leave are in use until then.
    private mutating func completeReassignment() -> Bool {
        guard partition.isReassigned else { return false }
        let target = partition.targetReplicas
        guard !target.isEmpty, target.allSatisfy(canLead) else { return false }
        partition.replicas = target
        partition.inSyncReplicas.removeAll { !target.contains($0) }
        partition.addingReplicas = []
        partition.removingReplicas = []
        return true
    }

    /// Back to the replicas from before the reassignment, without those that joined; false when none of the ones that
    /// remain is in sync and that is not allowed.
    mutating func revertReassignment(isUncleanAllowed: () -> Bool) -> Bool {
        removeThoseAway()
        let joining = partition.addingReplicas
        partition.replicas = partition.originalReplicas
        partition.inSyncReplicas.removeAll { joining.contains($0) }
        partition.addingReplicas = []
        partition.removingReplicas = []
        if partition.inSyncReplicas.isEmpty {
            guard let first = partition.replicas.first(where: brokers.isEligible) ?? partition.replicas.first,
                isUncleanAllowed()
            else { return false }
            partition.inSyncReplicas = [first]
            isUnclean = true
        }
        return true
    }
}

extension PartitionMetadata {
    /// Those that are to have the partition when its reassignment is done.
    var targetReplicas: [Int32] { replicas.filter { !removingReplicas.contains($0) } }

    /// Those that had the partition before its reassignment began.
    var originalReplicas: [Int32] { replicas.filter { !addingReplicas.contains($0) } }
}
