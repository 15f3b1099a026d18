/// Divides each topic's partitions into ranges, one for each reader, as Kafka's range assignor does.
package enum RangeAssignor {
    package typealias Member = AssignableMember

    /// Topics without an entry in `partitionCounts` do not exist and are left out.
    package static func assign(
        _ members: [Member], partitionCounts: [String: Int]
    ) -> [String: [TopicPartition]] {
        var result: [String: [TopicPartition]] = [:]
        for member in members { result[member.id] = [] }
        for (topic, count) in partitionCounts.sorted(by: { $0.key < $1.key }) {
            let readers = members.filter { $0.topics.contains(topic) }.sorted { $0.precedes($1) }
            if readers.isEmpty { continue }
            let (share, larger) = count.quotientAndRemainder(dividingBy: readers.count)
            var next = 0
            for (index, reader) in readers.enumerated() {
                let end = next + share + (index < larger ? 1 : 0)
                result[reader.id]! += (next..<end).map { TopicPartition(topic, Int32($0)) }
                next = end
            }
        }
        return result
    }
}
