/// Is told when a group gives partitions to a consumer or takes them away, before that has an effect. Called while the
/// application waits for records, so that none is taken away underneath it; see `Consumer`. The consumer may be used
/// inside, but not asked for records.
public protocol RebalanceListener: Sendable {
    /// These partitions are about to go to other members. What was consumed of them may still be committed.
    func partitionsRevoked(_ partitions: [TopicPartition], from consumer: Consumer) async
    /// These partitions have come. Fetching begins when this returns; a `seek` inside decides where.
    func partitionsAssigned(_ partitions: [TopicPartition], to consumer: Consumer) async
    /// These partitions are gone already, because the group has given this member up; nothing of them can be committed.
    func partitionsLost(_ partitions: [TopicPartition], from consumer: Consumer) async
}

extension RebalanceListener {
    /// Does nothing.
    public func partitionsRevoked(_ partitions: [TopicPartition], from consumer: Consumer) async {}
    /// Does nothing.
    public func partitionsAssigned(_ partitions: [TopicPartition], to consumer: Consumer) async {}
    /// The same as for revoked partitions.
    public func partitionsLost(_ partitions: [TopicPartition], from consumer: Consumer) async {
        await partitionsRevoked(partitions, from: consumer)
    }
}
