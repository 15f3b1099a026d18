import KafkaProtocol

enum UniformAssignor {
    static func assign(_ input: AssignmentInput) -> [String: TopicPartitionSet] {
        let subscriptions = Set(input.members.map(\.subscribedTopicIds))
        return subscriptions.count <= 1 ? assignHomogeneous(input) : assignHeterogeneous(input)
    }

    private struct TopicPartition {
        let topicId: Uuid
        let partition: Int32
    }

    private static func partitions(of topics: [AssignmentTopic]) -> [TopicPartition] {
        topics.sorted { Uuid.precedes($0.id, $1.id) }.flatMap { topic in
            (0..<max(topic.partitionCount, 0)).map { TopicPartition(topicId: topic.id, partition: $0) }
        }
    }

    private static func exists(_ topics: [AssignmentTopic]) -> (Uuid, Int32) -> Bool {
        let counts = Dictionary(topics.map { ($0.id, $0.partitionCount) }, uniquingKeysWith: { first, _ in first })
        return { topicId, partition in partition < counts[topicId] ?? 0 }
    }

    // MARK: Everybody reads the same topics

    /// Each member is due `quota` partitions, and some one more. First everybody keeps what it has, as far as it is due;
    /// then what is left is dealt out. Those who have the most keep the larger shares, which moves the least.
    private static func assignHomogeneous(_ input: AssignmentInput) -> [String: TopicPartitionSet] {
        guard !input.members.isEmpty else { return [:] }
        let subscribed = input.members[0].subscribedTopicIds
        let topics = input.topics.filter { subscribed.contains($0.id) }
        let all = partitions(of: topics)
        let exists = exists(topics)
        let quota = all.count / input.members.count
        var largerShares = all.count % input.members.count

        var taken = TopicPartitionSet.empty
        var kept: [String: [TopicPartition]] = [:]
        let valid = input.members.map { member in
            (member.memberId, member.currentTarget.filter { exists($0, $1) })
        }
        let byHolding = valid.sorted { ($1.1.count, $0.0) < ($0.1.count, $1.0) }
        var due: [String: Int] = [:]
        for (memberId, current) in byHolding {
            due[memberId] = quota
            if largerShares > 0 {
                due[memberId] = quota + 1
                largerShares -= 1
            }
            for (topicId, partitions) in current.sorted {
                for partition in partitions where kept[memberId, default: []].count < due[memberId]! {
                    // Two members never have the same partition as their target; a damaged log must not matter.
                    guard !taken.contains(topicId, partition) else { continue }
                    taken.insert(topicId, partition)
                    kept[memberId, default: []].append(TopicPartition(topicId: topicId, partition: partition))
                }
            }
        }

        var result: [String: TopicPartitionSet] = [:]
        var free = all.filter { !taken.contains($0.topicId, $0.partition) }[...]
        for memberId in input.members.map(\.memberId).sorted() {
            var assigned = kept[memberId] ?? []
            let missing = free.prefix(due[memberId]! - assigned.count)
            assigned += missing
            free = free.dropFirst(missing.count)
            result[memberId] = set(assigned)
        }
        return result
    }

    private static func set(_ partitions: [TopicPartition]) -> TopicPartitionSet {
        var result = TopicPartitionSet()
        for partition in partitions { result.insert(partition.topicId, partition.partition) }
        return result
    }

    // MARK: Members read different topics

    /// Everybody keeps what it may still read; free partitions go to the reader with the least, topics with few readers
    /// first; then single partitions move from a member to a reader that has at least two fewer, until there is none.
    /// Each such move makes the sum of squares of the loads smaller, so it ends.
    private static func assignHeterogeneous(_ input: AssignmentInput) -> [String: TopicPartitionSet] {
        let exists = exists(input.topics)
        let members = input.members.sorted { $0.memberId < $1.memberId }
        var owners: [Uuid: [Int32: Int]] = [:]
        var loads = [Int](repeating: 0, count: members.count)
        for (index, member) in members.enumerated() {
            for (topicId, partitions) in member.currentTarget.sorted {
                guard member.subscribedTopicIds.contains(topicId) else { continue }
                for partition in partitions where exists(topicId, partition) && owners[topicId]?[partition] == nil {
                    owners[topicId, default: [:]][partition] = index
                    loads[index] += 1
                }
            }
        }

        var readers: [Uuid: [Int]] = [:]
        for topic in input.topics {
            readers[topic.id] = members.indices.filter { members[$0].subscribedTopicIds.contains(topic.id) }
        }
        let topics = input.topics.filter { !readers[$0.id]!.isEmpty }.sorted {
            let (left, right) = (readers[$0.id]!.count, readers[$1.id]!.count)
            return left != right ? left < right : Uuid.precedes($0.id, $1.id)
        }
        func leastLoaded(_ readers: [Int]) -> Int { readers.min { (loads[$0], $0) < (loads[$1], $1) }! }

        for topic in topics {
            for partition in 0..<max(topic.partitionCount, 0) where owners[topic.id]?[partition] == nil {
                let reader = leastLoaded(readers[topic.id]!)
                owners[topic.id, default: [:]][partition] = reader
                loads[reader] += 1
            }
        }

        var isBalanced = false
        while !isBalanced {
            isBalanced = true
            for topic in topics {
                for partition in 0..<max(topic.partitionCount, 0) {
                    let owner = owners[topic.id]![partition]!
                    let reader = leastLoaded(readers[topic.id]!)
                    guard loads[owner] - loads[reader] >= 2 else { continue }
                    owners[topic.id]![partition] = reader
                    loads[owner] -= 1
                    loads[reader] += 1
                    isBalanced = false
                }
            }
        }

        var result: [String: TopicPartitionSet] = [:]
        for member in members { result[member.memberId] = .empty }
        for (topicId, ownersOfTopic) in owners {
            for (partition, owner) in ownersOfTopic { result[members[owner].memberId]!.insert(topicId, partition) }
        }
        return result
    }
}
