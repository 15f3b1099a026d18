/// Deals the partitions of all topics to the members in turn; who does not read a topic is passed over.
enum RoundRobinAssignor {
    /// Topics without an entry in `partitionCounts` do not exist and are left out.
    static func assign(
        _ members: [AssignableMember], partitionCounts: [String: Int]
    ) -> [String: [TopicPartition]] {
        var result: [String: [TopicPartition]] = [:]
        for member in members { result[member.id] = [] }
        let ring = members.sorted { $0.precedes($1) }.map { (id: $0.id, topics: Set($0.topics)) }
        let read = Set(members.flatMap(\.topics))
        var next = 0
        for (topic, count) in partitionCounts.sorted(by: { $0.key < $1.key }) where read.contains(topic) {
            for partition in 0..<count {
                while !ring[next].topics.contains(topic) { next = (next + 1) % ring.count }
                result[ring[next].id]!.append(TopicPartition(topic, Int32(partition)))
                next = (next + 1) % ring.count
            }
        }
        return result
    }
}
