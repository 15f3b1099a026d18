/// A division of partitions among members on its way to balance. Members and topics are numbered in their order, so that
/// equal input gives equal output.
///
/// Invariant: no partition has two holders.
struct StickyDivision {
    private let members: [AssignableMember]
    private let topics: [String]
    private let counts: [Int]
    /// By topic, who reads it, in order.
    private let readers: [[Int]]
    /// By partition, who has it by right before anything is moved.
    private let owners: [TopicPartition: Int]
    /// By member and topic, the numbers of the partitions that it has now.
    private var held: [[Int: [Int32]]]
    private var sizes: [Int]

    init(_ members: [AssignableMember], partitionCounts: [String: Int]) {
        self.members = members
        topics = partitionCounts.keys.sorted()
        counts = topics.map { partitionCounts[$0]! }
        let subscriptions = members.map { Set($0.topics) }
        readers = topics.map { topic in members.indices.filter { subscriptions[$0].contains(topic) } }
        owners = Self.owners(members, subscriptions, partitionCounts)
        held = Array(repeating: [:], count: members.count)
        sizes = Array(repeating: 0, count: members.count)
        for (topic, name) in topics.enumerated() {
            for partition in 0..<Int32(counts[topic]) {
                if let owner = owners[TopicPartition(name, partition)] { give(partition, of: topic, to: owner) }
            }
        }
    }

    /// Of several that claim a partition the one of the highest generation has it; nobody when that is not one alone, as
    /// then none of them can know.
    private static func owners(
        _ members: [AssignableMember], _ subscriptions: [Set<String>], _ partitionCounts: [String: Int]
    ) -> [TopicPartition: Int] {
        var best: [TopicPartition: (generation: Int32, member: Int?)] = [:]
        for (index, member) in members.enumerated() {
            for partition in Set(member.owned) {
                guard let count = partitionCounts[partition.topic], (0..<count).contains(Int(partition.partition))
                else { continue }
                guard let other = best[partition], other.generation >= member.generation else {
                    best[partition] = (member.generation, index)
                    continue
                }
                if other.generation == member.generation { best[partition] = (member.generation, nil) }
            }
        }
        var owners: [TopicPartition: Int] = [:]
        for (partition, claim) in best {
            if let member = claim.member, subscriptions[member].contains(partition.topic) {
                owners[partition] = member
            }
        }
        return owners
    }

    var assignment: [String: [TopicPartition]] {
        var result: [String: [TopicPartition]] = [:]
        for (index, member) in members.enumerated() {
            result[member.id] = held[index].flatMap { topic, partitions in
                partitions.map { TopicPartition(topics[topic], $0) }
            }.sorted()
        }
        return result
    }

    /// Gives what nobody has to the reader with the least. Topics with few readers come first, as the others have a
    /// choice.
    mutating func dealUnowned() {
        let order = topics.indices.sorted { (readers[$0].count, $0) < (readers[$1].count, $1) }
        for topic in order {
            for partition in 0..<Int32(counts[topic]) where owners[TopicPartition(topics[topic], partition)] == nil {
                guard let least = readers[topic].min(by: { (sizes[$0], $0) < (sizes[$1], $1) }) else { continue }
                give(partition, of: topic, to: least)
            }
        }
    }

    /// Moves partitions as long as that makes the division more even.
    mutating func level() {
        // From a member without a way to one that has two less, only such members can be reached: they are done as well.
        var done = Set<Int>()
        while let heaviest = members.indices.filter({ !done.contains($0) }).max(by: {
            (sizes[$0], $1) < (sizes[$1], $0)
        }) {
            let search = search(from: heaviest)
            guard let lightest = search.reached.min(by: { (sizes[$0], $0) < (sizes[$1], $1) }),
                sizes[lightest] <= sizes[heaviest] - 2
            else {
                done.formUnion(search.reached)
                done.insert(heaviest)
                continue
            }
            var receiver = lightest
            while let step = search.steps[receiver] {
                move(of: step.topic, from: step.giver, to: receiver)
                receiver = step.giver
            }
        }
    }

    private struct Search {
        /// In the order of their distance.
        var reached: [Int] = []
        /// By member, whose partition of which topic it would get.
        var steps: [Int: (giver: Int, topic: Int)] = [:]
    }

    /// Who can get a partition from `start`, directly or through others, on shortest ways.
    private func search(from start: Int) -> Search {
        var search = Search()
        var seenTopics = Set<Int>()
        var queue = [start]
        var next = 0
        while next < queue.count {
            let giver = queue[next]
            next += 1
            for topic in held[giver].keys.sorted() where seenTopics.insert(topic).inserted {
                for reader in readers[topic] where reader != start && search.steps[reader] == nil {
                    search.steps[reader] = (giver, topic)
                    search.reached.append(reader)
                    queue.append(reader)
                }
            }
        }
        return search
    }

    private mutating func give(_ partition: Int32, of topic: Int, to member: Int) {
        held[member][topic, default: []].append(partition)
        sizes[member] += 1
    }

    /// Moves one partition: best one that the receiver had before, then one that the giver did not have.
    private mutating func move(of topic: Int, from giver: Int, to receiver: Int) {
        let candidates = held[giver][topic]!
        func owner(_ partition: Int32) -> Int? { owners[TopicPartition(topics[topic], partition)] }
        let chosen =
            candidates.first { owner($0) == receiver } ?? candidates.last { owner($0) != giver } ?? candidates.max()!
        held[giver][topic]!.removeAll { $0 == chosen }
        if held[giver][topic]!.isEmpty { held[giver][topic] = nil }
        sizes[giver] -= 1
        give(chosen, of: topic, to: receiver)
    }
}
