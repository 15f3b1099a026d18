import Testing

@testable import MartletClient

@Suite struct AssignorTests {
    private func member(
        _ id: String, _ topics: String..., owned: [TopicPartition] = [], generation: Int32 = -1
    ) -> AssignableMember {
        AssignableMember(id: id, topics: topics, owned: owned, generation: generation)
    }

    private func assign(
        _ strategy: PartitionAssignmentStrategy, _ members: [AssignableMember], _ counts: [String: Int]
    ) -> [String: [String]] {
        strategy.assign(members, partitionCounts: counts).mapValues { $0.map(\.description) }
    }

    private func partitions(_ topic: String, _ indexes: Int32...) -> [TopicPartition] {
        indexes.map { TopicPartition(topic, $0) }
    }

    @Test func namesAreKafkas() {
        #expect(
            PartitionAssignmentStrategy.all.map(\.name) == ["range", "roundrobin", "sticky", "cooperative-sticky"])
    }

    /// The examples of Kafka's documentation of RoundRobinAssignor.
    @Test func roundRobinDealsInTurn() {
        #expect(
            assign(.roundRobin, [member("C1", "t0", "t1"), member("C0", "t0", "t1")], ["t0": 3, "t1": 3])
                == ["C0": ["t0-0", "t0-2", "t1-1"], "C1": ["t0-1", "t1-0", "t1-2"]])
        #expect(
            assign(
                .roundRobin, [member("C0", "t0"), member("C1", "t0", "t1"), member("C2", "t0", "t1", "t2")],
                ["t0": 1, "t1": 2, "t2": 3, "unread": 4])
                == ["C0": ["t0-0"], "C1": ["t1-0"], "C2": ["t1-1", "t2-0", "t2-1", "t2-2"]])
        #expect(assign(.roundRobin, [member("C0", "missing")], ["t0": 2]) == ["C0": []])
    }

    /// The second example of KIP-54: round robin would leave one member with four and another with one.
    @Test func stickyBalancesOverUnequalSubscriptions() {
        #expect(
            assign(
                .sticky, [member("C0", "t0"), member("C1", "t0", "t1"), member("C2", "t0", "t1", "t2")],
                ["t0": 1, "t1": 2, "t2": 3])
                == ["C0": ["t0-0"], "C1": ["t1-0", "t1-1"], "C2": ["t2-0", "t2-1", "t2-2"]])
    }

    @Test func stickyMovesOnlyWhatANewMemberNeeds() {
        let members = [
            member("a", "t", owned: partitions("t", 0, 1, 2), generation: 4),
            member("b", "t", owned: partitions("t", 3, 4, 5), generation: 4), member("c", "t"),
        ]
        let result = assign(.sticky, members, ["t": 6])
        #expect(Set(result["a"]!).isSubset(of: ["t-0", "t-1", "t-2"]) && result["a"]!.count == 2)
        #expect(Set(result["b"]!).isSubset(of: ["t-3", "t-4", "t-5"]) && result["b"]!.count == 2)
        #expect(result["c"]!.count == 2)
    }

    @Test func theHighestGenerationHasThePartition() {
        let members = [
            member("a", "t", owned: partitions("t", 0, 1), generation: 3),
            member("b", "t", owned: partitions("t", 1, 0), generation: 5),
        ]
        #expect(assign(.sticky, members, ["t": 4]) == ["a": ["t-2", "t-3"], "b": ["t-0", "t-1"]])
    }

    /// x can only be relieved over y: nobody reads both of the topics of x and z.
    @Test func stickyBalancesOverOthers() {
        let members = [
            member("x", "a", owned: partitions("a", 0, 1, 2, 3), generation: 1),
            member("y", "a", "b", owned: partitions("b", 0, 1, 2), generation: 1),
            member("z", "b"),
        ]
        let result = StickyAssignor.assign(members, partitionCounts: ["a": 4, "b": 3])
        #expect(result.values.map(\.count).sorted() == [2, 2, 3])
    }

    @Test func cooperativeTakesAwayFirst() {
        let owner = member("a", "t", owned: partitions("t", 0, 1), generation: 1)
        let first = assign(.cooperativeSticky, [owner, member("b", "t")], ["t": 2])
        #expect(first["a"]!.count == 1 && first["b"] == [])
        let kept = TopicPartition("t", first["a"] == ["t-0"] ? 0 : 1)
        let second = assign(
            .cooperativeSticky, [member("a", "t", owned: [kept], generation: 2), member("b", "t", generation: 2)],
            ["t": 2])
        #expect(second["a"] == first["a"] && second["b"]!.count == 1 && second["b"] != second["a"])
    }

    /// Who missed a rebalance must hear of its loss before the partition is anybody else's.
    @Test func cooperativeHeedsStaleClaims() {
        let members = [
            member("a", "t", owned: partitions("t", 0, 1), generation: 7),
            member("b", "t", owned: partitions("t", 1, 2), generation: 3),
            member("c", "t", generation: 7),
        ]
        let result = assign(.cooperativeSticky, members, ["t": 3])
        #expect(result["c"] == [])
        #expect(Set(result["a"]!).isSubset(of: ["t-0", "t-1"]))
        #expect(Set(result["b"]!).isSubset(of: ["t-1", "t-2"]))
    }
}
