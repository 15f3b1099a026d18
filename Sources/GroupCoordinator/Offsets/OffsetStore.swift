import KafkaProtocol

/// Where a group is in a partition.
struct CommittedOffset: Sendable, Equatable {
    var offset: Int64
    var leaderEpoch: Int32
    var metadata: String
    var commitTimestamp: Int64
    /// Set by clients of old versions that chose a retention; the broker's setting does not apply then.
    var expireTimestamp: Int64?
    /// Counts the records of offsets, so that of two commits the later one in the log is known.
    var order: UInt64 = 0
}

/// The committed offsets of a shard: group, topic, partition. Invariant: no empty tables.
///
/// The shard's own holds what is committed for good. What an open transaction would commit is in its producer's, see
/// `TransactionalProducers`.
struct OffsetStore: Sendable, Equatable {
    private(set) var offsets: [String: [String: [Int32: CommittedOffset]]] = [:]

    func hasOffsets(group groupId: String) -> Bool { offsets[groupId] != nil }

    func topics(of groupId: String) -> [String: [Int32: CommittedOffset]] { offsets[groupId] ?? [:] }

    func offset(group groupId: String, topic: String, partition: Int32) -> CommittedOffset? {
        offsets[groupId]?[topic]?[partition]
    }

    mutating func set(_ offset: CommittedOffset, group groupId: String, topic: String, partition: Int32) {
        offsets[groupId, default: [:]][topic, default: [:]][partition] = offset
    }

    mutating func remove(group groupId: String, topic: String, partition: Int32) {
        guard offsets[groupId]?[topic]?.removeValue(forKey: partition) != nil else { return }
        if offsets[groupId]![topic]!.isEmpty { offsets[groupId]![topic] = nil }
        if offsets[groupId]!.isEmpty { offsets[groupId] = nil }
    }
}

extension GroupCoordinatorShard {
    /// How far a group has read a partition, for metrics.
    package struct GroupOffset: Sendable, Equatable {
        package let group: String
        package let topic: String
        package let partition: Int32
        package let offset: Int64
    }

    package var committedOffsets: [GroupOffset] {
        offsets.offsets.flatMap { group, topics in
            topics.flatMap { topic, partitions in
                partitions.map { GroupOffset(group: group, topic: topic, partition: $0.key, offset: $0.value.offset) }
            }
        }
    }
}

extension CommittedOffset {
    init(_ value: OffsetCommitValue, order: UInt64) {
        self.init(
            offset: value.offset, leaderEpoch: value.leaderEpoch, metadata: value.metadata,
            commitTimestamp: value.commitTimestamp,
            expireTimestamp: value.expireTimestamp == -1 ? nil : value.expireTimestamp, order: order)
    }

    func record(group groupId: String, topic: String, partition: Int32) -> GroupRecord {
        var value = OffsetCommitValue()
        value.offset = offset
        value.leaderEpoch = leaderEpoch
        value.metadata = metadata
        value.commitTimestamp = commitTimestamp
        value.expireTimestamp = expireTimestamp ?? -1
        return .offsetCommit(Self.key(group: groupId, topic: topic, partition: partition), value)
    }

    static func tombstone(group groupId: String, topic: String, partition: Int32) -> GroupRecord {
        .offsetCommit(key(group: groupId, topic: topic, partition: partition), nil)
    }

    private static func key(group groupId: String, topic: String, partition: Int32) -> OffsetCommitKey {
        var key = OffsetCommitKey()
        key.group = groupId
        key.topic = topic
        key.partition = partition
        return key
    }
}
