import CommitLog
import Configuration
import KafkaProtocol
import RecordFormat
import Replication

/// A topic as the data path needs it. Replaced as a whole when its configuration or partitions change.
package final class Topic: Sendable {
    package let name: String
    package let id: Uuid
    package let isInternal: Bool
    /// By partition; nil where another node leads, or none.
    package let leaders: [PartitionLeader?]
    /// By partition; nil where this node does not follow. Empty where it follows none.
    package let followers: [PartitionFollower?]
    package let rules: RecordBatchRules
    package let maximumBatchBytes: Int
    package let minimumInSyncReplicas: Int
    /// Whose copying is throttled while they are moved.
    package let throttled: (leaders: ThrottledReplicas, followers: ThrottledReplicas)

    package init(
        name: String, id: Uuid, isInternal: Bool, leaders: [PartitionLeader?], followers: [PartitionFollower?],
        rules: RecordBatchRules,
        maximumBatchBytes: Int, minimumInSyncReplicas: Int,
        throttled: (leaders: ThrottledReplicas, followers: ThrottledReplicas) = (
            ThrottledReplicas([]), ThrottledReplicas([])
        )
    ) {
        self.throttled = throttled
        self.name = name
        self.id = id
        self.isInternal = isInternal
        self.leaders = leaders
        self.followers = followers
        self.rules = rules
        self.maximumBatchBytes = maximumBatchBytes
        self.minimumInSyncReplicas = minimumInSyncReplicas
    }

    package func leader(of partition: Int32) -> PartitionLeader? {
        partition >= 0 && partition < leaders.count ? leaders[Int(partition)] : nil
    }

    package func follower(of partition: Int32) -> PartitionFollower? {
        partition >= 0 && partition < followers.count ? followers[Int(partition)] : nil
    }

    /// What a request about a partition is told that this node does not lead.
    func refusal(of partition: Int32) -> ErrorCode {
        partition >= 0 && partition < leaders.count ? .notLeaderOrFollower : .unknownTopicOrPartition
    }

    /// The logs that this node has of the topic.
    package var logs: [Log] { leaders.compactMap { $0?.log } + followers.compactMap { $0?.log } }
}

/// The topics, looked up by the bytes of their name so that a request makes no `String`. Immutable: a change makes a
/// new table, and each loop keeps the one it saw last.
package final class TopicTable: Sendable {
    package let topics: [String: Topic]
    private let byId: [Uuid: Topic]
    /// Open addressing; a power of two, at most half full. -1 is free.
    private let buckets: [Int32]
    private let hashes: [UInt64]
    private let names: [[UInt8]]
    private let values: [Topic]
    private let seed: UInt64

    package init(_ topics: [String: Topic], seed: UInt64) {
        self.topics = topics
        self.seed = seed
        let values = Array(topics.values)
        self.values = values
        names = values.map { Array($0.name.utf8) }
        byId = Dictionary(values.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var size = 16
        while size < values.count * 2 { size *= 2 }
        var buckets = [Int32](repeating: -1, count: size)
        var hashes: [UInt64] = []
        for (index, name) in names.enumerated() {
            let hash = name.withUnsafeBytes { TopicTable.hash($0, seed: seed) }
            hashes.append(hash)
            var bucket = Int(truncatingIfNeeded: hash) & (size - 1)
            while buckets[bucket] >= 0 { bucket = (bucket + 1) & (size - 1) }
            buckets[bucket] = Int32(index)
        }
        self.buckets = buckets
        self.hashes = hashes
    }

    package func topic(named name: String) -> Topic? { topics[name] }
    package func topic(withId id: Uuid) -> Topic? { byId[id] }

    package func topic(named bytes: UnsafeRawBufferPointer) -> Topic? {
        let hash = TopicTable.hash(bytes, seed: seed)
        let mask = buckets.count - 1
        var bucket = Int(truncatingIfNeeded: hash) & mask
        while buckets[bucket] >= 0 {
            let index = Int(buckets[bucket])
            if hashes[index] == hash && names[index].elementsEqual(bytes) { return values[index] }
            bucket = (bucket + 1) & mask
        }
        return nil
    }

    /// Multiply and fold, eight bytes at a time. The seed is random, so names that collide cannot be prepared.
    private static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var hash = seed ^ UInt64(bytes.count)
        var position = 0
        func fold(_ word: UInt64) {
            let product = (hash ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
            hash = product.high ^ product.low
        }
        while bytes.count - position >= 8 {
            fold(bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            position += 8
        }
        var rest: UInt64 = 0
        while position < bytes.count {
            rest = rest << 8 | UInt64(bytes[position])
            position += 1
        }
        fold(rest)
        return hash
    }
}
