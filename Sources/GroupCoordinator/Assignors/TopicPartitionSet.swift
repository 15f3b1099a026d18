import KafkaProtocol

extension Uuid {
    /// An order for output that must not depend on a hash table.
    static func precedes(_ left: Uuid, _ right: Uuid) -> Bool { (left.high, left.low) < (right.high, right.low) }
}

/// Partitions of topics. Invariant: no topic stands for an empty set, so equal sets compare equal.
struct TopicPartitionSet: Sendable, Equatable {
    private(set) var partitionsByTopic: [Uuid: Set<Int32>] = [:]

    static let empty = TopicPartitionSet()

    init() {}

    init(_ topics: some Sequence<(Uuid, [Int32])>) {
        for (topicId, partitions) in topics { insert(topicId, partitions) }
    }

    var isEmpty: Bool { partitionsByTopic.isEmpty }

    var count: Int { partitionsByTopic.values.reduce(0) { $0 + $1.count } }

    func contains(_ topicId: Uuid, _ partition: Int32) -> Bool {
        partitionsByTopic[topicId]?.contains(partition) ?? false
    }

    mutating func insert(_ topicId: Uuid, _ partition: Int32) {
        partitionsByTopic[topicId, default: []].insert(partition)
    }

    mutating func insert(_ topicId: Uuid, _ partitions: some Sequence<Int32>) {
        for partition in partitions { insert(topicId, partition) }
    }

    mutating func remove(_ topicId: Uuid, _ partition: Int32) {
        guard partitionsByTopic[topicId]?.remove(partition) != nil else { return }
        if partitionsByTopic[topicId]!.isEmpty { partitionsByTopic[topicId] = nil }
    }

    func filter(_ isIncluded: (Uuid, Int32) -> Bool) -> TopicPartitionSet {
        var result = TopicPartitionSet()
        for (topicId, partitions) in partitionsByTopic {
            let kept = partitions.filter { isIncluded(topicId, $0) }
            if !kept.isEmpty { result.partitionsByTopic[topicId] = kept }
        }
        return result
    }

    func intersection(_ other: TopicPartitionSet) -> TopicPartitionSet { filter { other.contains($0, $1) } }

    func subtracting(_ other: TopicPartitionSet) -> TopicPartitionSet { filter { !other.contains($0, $1) } }

    func union(_ other: TopicPartitionSet) -> TopicPartitionSet {
        var result = self
        for (topicId, partitions) in other.partitionsByTopic {
            result.partitionsByTopic[topicId, default: []].formUnion(partitions)
        }
        return result
    }

    func isSubset(of other: TopicPartitionSet) -> Bool { subtracting(other).isEmpty }

    /// By topic id, then by partition.
    var sorted: [(topicId: Uuid, partitions: [Int32])] {
        partitionsByTopic.sorted { Uuid.precedes($0.key, $1.key) }.map { ($0.key, $0.value.sorted()) }
    }
}
