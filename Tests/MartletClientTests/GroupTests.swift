import Testing

@testable import MartletClient

@Suite struct GroupTests {
    private func assign(_ members: [RangeAssignor.Member], _ counts: [String: Int]) -> [String: [String]] {
        RangeAssignor.assign(members, partitionCounts: counts).mapValues { $0.map(\.description) }
    }

    /// The example of Kafka's RangeAssignor documentation.
    @Test func eachTopicIsDividedByItself() {
        let members = ["C1", "C0"].map { RangeAssignor.Member(id: $0, topics: ["t0", "t1"]) }
        #expect(
            assign(members, ["t0": 3, "t1": 3])
                == ["C0": ["t0-0", "t0-1", "t1-0", "t1-1"], "C1": ["t0-2", "t1-2"]])
    }

    @Test func onlyReadersOfATopicGetItsPartitions() {
        let members = [
            RangeAssignor.Member(id: "a", topics: ["x"]), RangeAssignor.Member(id: "b", topics: ["x", "y"]),
            RangeAssignor.Member(id: "c", topics: ["missing"]),
        ]
        #expect(assign(members, ["x": 1, "y": 2]) == ["a": ["x-0"], "b": ["y-0", "y-1"], "c": []])
    }

    @Test func staticMembersComeFirst() {
        let members = [
            RangeAssignor.Member(id: "1", topics: ["t"]),
            RangeAssignor.Member(id: "9", instanceId: "b", topics: ["t"]),
            RangeAssignor.Member(id: "8", instanceId: "c", topics: ["t"]),
        ]
        #expect(assign(members, ["t": 3]) == ["9": ["t-0"], "8": ["t-1"], "1": ["t-2"]])
    }

    @Test func assignmentsAndSubscriptionsKeepTheirContent() throws {
        let partitions = [TopicPartition("a", 0), TopicPartition("a", 3), TopicPartition("b", 1)]
        #expect(try ConsumerProtocol.assignment(ConsumerProtocol.encodeAssignment(partitions)) == partitions)
        #expect(try ConsumerProtocol.subscription(ConsumerProtocol.encodeSubscription(["x", "y"])) == ["x", "y"])
        #expect(try ConsumerProtocol.assignment([]).isEmpty)
        #expect(throws: ClientError.self) { try ConsumerProtocol.subscription([0, 1, 0, 0]) }
        #expect(throws: ClientError.self) { try ConsumerProtocol.subscription([0xFF, 0xFF, 0, 0, 0, 0]) }
    }

    /// Version 3 of a subscription has fields after the topics that version 0 lacks.
    @Test func newerSubscriptionsAreRead() throws {
        let bytes = ConsumerProtocol.encodeSubscription(["x"])
        let newer: [UInt8] = [0, 3] + bytes[2...] + [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
        #expect(try ConsumerProtocol.subscription(newer) == ["x"])
    }

    @Test(
        arguments: [
            (OffsetReset.earliest, 10), (.latest, 50), (.offset(30), 30), (.offset(3), 10), (.offset(99), 50),
            (.shift(5), 25), (.shift(-5), 15), (.shift(-100), 10), (.shift(100), 50), (.shift(.min), 10),
            (.shift(.max), 50), (.timestamp(7), 40),
        ] as [(OffsetReset, Int64)])
    func newOffsets(reset: OffsetReset, expected: Int64) {
        #expect(reset.newOffset(committed: 20, earliest: 10, latest: 50, found: 40) == expected)
    }

    @Test func offsetsWithoutAnythingToGoBy() {
        #expect(OffsetReset.shift(1).newOffset(committed: nil, earliest: 0, latest: 5) == nil)
        #expect(OffsetReset.timestamp(1).newOffset(committed: nil, earliest: 0, latest: 5, found: -1) == 5)
        #expect(OffsetReset.timestamp(1).newOffset(committed: nil, earliest: 0, latest: 5) == 5)
        #expect(OffsetReset.latest.newOffset(committed: nil, earliest: 0, latest: 0) == 0)
    }
}
