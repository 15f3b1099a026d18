import KafkaProtocol

enum RangeAssignor {
    static func assign(_ input: AssignmentInput) -> [String: TopicPartitionSet] {
        var result: [String: TopicPartitionSet] = [:]
        for member in input.members { result[member.memberId] = .empty }
        let members = input.members.sorted { ($0.sortKey, $0.memberId) < ($1.sortKey, $1.memberId) }
        for topic in input.topics {
            let readers = members.filter { $0.subscribedTopicIds.contains(topic.id) }
            if readers.isEmpty { continue }
            // The first readers take one more each when the partitions do not divide evenly.
            let partitionCount = max(topic.partitionCount, 0)
            let share = partitionCount / Int32(readers.count)
            let larger = Int(partitionCount % Int32(readers.count))
            var next: Int32 = 0
            for (index, reader) in readers.enumerated() {
                let end = next + share + (index < larger ? 1 : 0)
                result[reader.memberId]!.insert(topic.id, next..<end)
                next = end
            }
        }
        return result
    }
}
