import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

@Suite struct AssignorTests {
    private func topic(_ index: Int, _ partitions: Int32) -> AssignmentTopic {
        AssignmentTopic(id: Uuid(high: 0, low: UInt64(index + 1)), name: "t\(index)", partitionCount: partitions)
    }

    private func member(
        _ id: String, _ topics: [AssignmentTopic], _ current: TopicPartitionSet = .empty, instanceId: String? = nil
    ) -> AssignmentMember {
        AssignmentMember(
            memberId: id, instanceId: instanceId, subscribedTopicIds: Set(topics.map(\.id)), currentTarget: current)
    }

    // MARK: Range

    @Test func rangesAreContiguousAndAlikeInAllTopics() {
        let topics = [topic(0, 5), topic(1, 5)]
        let result = ServerAssignor.range.assign(
            AssignmentInput(members: [member("b", topics), member("a", topics)], topics: topics))
        #expect(result["a"]!.names == ["t0-0", "t0-1", "t0-2", "t1-0", "t1-1", "t1-2"])
        #expect(result["b"]!.names == ["t0-3", "t0-4", "t1-3", "t1-4"])
    }

    @Test func rangeOrdersStaticMembersByInstanceId() {
        let topics = [topic(0, 2)]
        let members = [member("a", topics, instanceId: "2"), member("b", topics, instanceId: "1")]
        let result = ServerAssignor.range.assign(AssignmentInput(members: members, topics: topics))
        #expect(result["b"]!.names == ["t0-0"])
        #expect(result["a"]!.names == ["t0-1"])
    }

    @Test func rangeWithMoreMembersThanPartitions() {
        let topics = [topic(0, 1)]
        let members = ["a", "b", "c"].map { member($0, topics) }
        let result = ServerAssignor.range.assign(AssignmentInput(members: members, topics: topics))
        #expect(members.map { result[$0.memberId]!.count } == [1, 0, 0])
    }

    // MARK: Uniform

    @Test func uniformIsEvenAcrossTopics() {
        let topics = [topic(0, 1), topic(1, 1), topic(2, 1), topic(3, 4)]
        let members = ["a", "b", "c"].map { member($0, topics) }
        let result = ServerAssignor.uniform.assign(AssignmentInput(members: members, topics: topics))
        #expect(members.map { result[$0.memberId]!.count }.sorted() == [2, 2, 3])
    }

    @Test func uniformMovesNoMoreThanItMust() {
        let topics = [topic(0, 9)]
        let three = ["a", "b", "c"].map { member($0, topics) }
        let before = ServerAssignor.uniform.assign(AssignmentInput(members: three, topics: topics))
        // One more member: each of the three gives up at most one partition.
        let four = three.map { member($0.memberId, topics, before[$0.memberId]!) } + [member("d", topics)]
        let after = ServerAssignor.uniform.assign(AssignmentInput(members: four, topics: topics))
        #expect(four.map { after[$0.memberId]!.count }.sorted() == [2, 2, 2, 3])
        for member in three {
            #expect(after[member.memberId]!.isSubset(of: before[member.memberId]!))
        }
        // It leaves again: everybody keeps what it has.
        let back = three.map { member($0.memberId, topics, after[$0.memberId]!) }
        let last = ServerAssignor.uniform.assign(AssignmentInput(members: back, topics: topics))
        for member in three {
            #expect(after[member.memberId]!.isSubset(of: last[member.memberId]!))
            #expect(last[member.memberId]!.count == 3)
        }
    }

    @Test func uniformForgetsPartitionsThatAreGone() {
        let topics = [topic(0, 2)]
        let stale = TopicPartitionSet([(topics[0].id, [0, 1, 2, 3]), (Uuid(high: 5, low: 5), [0])])
        let result = ServerAssignor.uniform.assign(
            AssignmentInput(members: [member("a", topics, stale)], topics: topics))
        #expect(result["a"]!.names == ["t0-0", "t0-1"])
    }

    /// Whatever the subscriptions: every partition goes to exactly one reader, no partition could move to a reader with
    /// two fewer, and an assignment that is already right stays.
    @Test(arguments: 0..<40) func uniformIsCompleteFairAndStable(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let topics = (0..<Int.random(in: 1...5, using: &generator)).map {
            topic($0, Int32.random(in: 0...7, using: &generator))
        }
        var members = (0..<Int.random(in: 1...6, using: &generator)).map { index in
            member(
                "m\(index)",
                seed.isMultiple(of: 2) ? topics : topics.filter { _ in Bool.random(using: &generator) })
        }
        for _ in 0..<4 {
            let result = ServerAssignor.uniform.assign(AssignmentInput(members: members, topics: topics))
            check(result, members, topics)
            for index in members.indices { members[index].currentTarget = result[members[index].memberId]! }
            #expect(ServerAssignor.uniform.assign(AssignmentInput(members: members, topics: topics)) == result)
            if members.count > 1 && Bool.random(using: &generator) {
                members.remove(at: Int.random(in: 0..<members.count, using: &generator))
            } else {
                members.append(member("n\(generator.next() % 1_000)", topics))
            }
        }
    }

    private func check(
        _ result: [String: TopicPartitionSet], _ members: [AssignmentMember], _ topics: [AssignmentTopic]
    ) {
        for topic in topics {
            let readers = members.filter { $0.subscribedTopicIds.contains(topic.id) }
            for partition in 0..<topic.partitionCount {
                let owners = members.filter { result[$0.memberId]!.contains(topic.id, partition) }
                #expect(owners.count == (readers.isEmpty ? 0 : 1))
                guard let owner = owners.first else { continue }
                #expect(owner.subscribedTopicIds.contains(topic.id))
                let least = readers.map { result[$0.memberId]!.count }.min()!
                #expect(result[owner.memberId]!.count - least <= 1)
            }
        }
        let total = result.values.reduce(0) { $0 + $1.count }
        let readable = topics.filter { topic in members.contains { $0.subscribedTopicIds.contains(topic.id) } }
        #expect(total == readable.reduce(0) { $0 + Int($1.partitionCount) })
    }
}
