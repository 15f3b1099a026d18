import KafkaProtocol

/// When committed offsets grow old (KIP-211).
enum OffsetExpirationRule: Equatable {
    /// The group is in use in a way that protects all its offsets.
    case never
    /// An offset ages from its commit.
    case sinceCommit
    /// The group is empty; its offsets age from the moment it became so.
    case since(Int64)

    func isExpired(_ offset: CommittedOffset, now: Int64, retentionMs: Int64) -> Bool {
        if self == .never { return false }
        if let expireTimestamp = offset.expireTimestamp { return now >= expireTimestamp }
        switch self {
        case .never: return false
        case .sinceCommit: return Self.age(offset.commitTimestamp, now) >= retentionMs
        // A commit from outside may be younger than the moment when the last member left.
        case .since(let timestamp): return Self.age(max(timestamp, offset.commitTimestamp), now) >= retentionMs
        }
    }

    /// Timestamps come from the log and may be anything.
    private static func age(_ timestamp: Int64, _ now: Int64) -> Int64 {
        let (age, overflow) = now.subtractingReportingOverflow(timestamp)
        return overflow ? .max : age
    }
}

extension ClassicGroup {
    var offsetExpirationRule: OffsetExpirationRule {
        if protocolType == nil { return .sinceCommit }
        if state == .empty { return currentStateTimestamp.map { .since($0) } ?? .sinceCommit }
        // Topics that members still read are excluded by the caller.
        return state == .stable && subscribedTopics != nil ? .sinceCommit : .never
    }
}

extension GroupCoordinatorShard {
    mutating func expireOffsets() {
        effects.isDivisible = true
        effects.schedule(.offsetExpiration, after: configuration.offsetsRetentionCheckIntervalMs)
        // The log forgets first: what it would still refuse must be refused before it gets there.
        let (twice, overflow) = configuration.producerIdExpirationMs.multipliedReportingOverflow(by: 2)
        producers.expire(now: effects.now, expiration: overflow ? .max : twice)
        for groupId in (Set(classicGroups.keys).union(consumerGroups.keys)).sorted() {
            expireOffsets(of: groupId)
            deleteGroupIfForgotten(groupId)
        }
    }

    private mutating func expireOffsets(of groupId: String) {
        let rule = classicGroups[groupId]?.offsetExpirationRule ?? .sinceCommit
        if rule == .never || !offsets.hasOffsets(group: groupId) { return }
        let inUse = topicsInUse(by: groupId)
        for (topic, partitions) in offsets.topics(of: groupId).sorted(by: { $0.key < $1.key }) {
            if inUse.contains(topic) { continue }
            for (partition, offset) in partitions.sorted(by: { $0.key < $1.key })
            where rule.isExpired(offset, now: effects.now, retentionMs: configuration.offsetsRetentionMs)
                && !producers.hasPendingOffset(group: groupId, topic: topic, partition: partition)
            {
                write(CommittedOffset.tombstone(group: groupId, topic: topic, partition: partition))
            }
        }
    }

    /// A group without members and offsets is nothing. One that an open transaction would commit for may be something.
    private mutating func deleteGroupIfForgotten(_ groupId: String) {
        if offsets.hasOffsets(group: groupId) || producers.hasPendingOffsets(group: groupId) { return }
        if let group = classicGroups[groupId], group.state == .empty, group.pendingJoinMembers.isEmpty {
            deleteGroup(groupId)
        } else if let group = consumerGroups[groupId], group.members.isEmpty {
            deleteGroup(groupId)
        }
    }
}
