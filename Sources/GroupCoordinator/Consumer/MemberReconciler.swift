import KafkaProtocol

/// Brings a member one step nearer to its target (KIP-848): first it gives up what it must not keep, then it moves to
/// the target's epoch, then it gets what the others have released. So no partition has two owners at any time, and
/// members that keep their partitions never stop.
struct MemberReconciler {
    let targetEpoch: Int32
    let target: TopicPartitionSet
    /// What the member says it has, or nil when it said nothing in this heartbeat.
    let owned: TopicPartitionSet?
    /// The topics that the member is subscribed to now, when that changed with this heartbeat: what it no longer reads
    /// it must give up even if the target does not change.
    let changedSubscription: Set<Uuid>?
    /// Whether some member, this one included, has the partition or still has to give it up.
    let isHeld: (Uuid, Int32) -> Bool

    func reconcile(_ member: ConsumerGroupMember) -> ConsumerGroupMember {
        switch member.state {
        case .stable:
            if member.memberEpoch != targetEpoch { return next(member) }
            return changedSubscription == nil ? member : dropUnsubscribed(member)
        case .unrevokedPartitions:
            if !hasRevoked(member.partitionsPendingRevocation) {
                return changedSubscription == nil ? member : dropUnsubscribed(member)
            }
            return next(member)
        case .unreleasedPartitions, .unknown:
            return next(member)
        }
    }

    /// A partition counts as given up when a heartbeat lists what the member has and it is not among it.
    private func hasRevoked(_ partitions: TopicPartitionSet) -> Bool {
        guard let owned else { return false }
        return owned.intersection(partitions).isEmpty
    }

    private func next(_ member: ConsumerGroupMember) -> ConsumerGroupMember {
        var target = target
        if let changedSubscription {
            target = target.filter { topicId, _ in changedSubscription.contains(topicId) }
        }
        let kept = member.assignedPartitions.intersection(target)
        let toRevoke = member.assignedPartitions.subtracting(kept)
        let wanted = target.subtracting(kept)
        let free = wanted.filter { !isHeld($0, $1) }

        var member = member
        member.assignedPartitions = kept
        if !toRevoke.isEmpty && !hasRevoked(toRevoke) {
            // The epoch stays: until it has let go, the member commits under the epoch in which it owned them.
            member.previousMemberEpoch = member.memberEpoch
            member.state = .unrevokedPartitions
            member.partitionsPendingRevocation = toRevoke
            return member
        }
        member.advance(to: targetEpoch)
        member.assignedPartitions = kept.union(free)
        member.partitionsPendingRevocation = .empty
        member.state = free == wanted ? .stable : .unreleasedPartitions
        return member
    }

    /// The target is the same, but the member does not read some of it any more.
    private func dropUnsubscribed(_ member: ConsumerGroupMember) -> ConsumerGroupMember {
        guard let changedSubscription else { return member }
        let kept = member.assignedPartitions.filter { topicId, _ in changedSubscription.contains(topicId) }
        if kept == member.assignedPartitions { return member }
        var member = member
        let pending = member.partitionsPendingRevocation.union(member.assignedPartitions.subtracting(kept))
        member.assignedPartitions = kept
        if !hasRevoked(pending) {
            member.previousMemberEpoch = member.memberEpoch
            member.state = .unrevokedPartitions
            member.partitionsPendingRevocation = pending
        }
        return member
    }
}
