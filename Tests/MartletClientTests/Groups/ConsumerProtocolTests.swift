import Testing

@testable import MartletClient

/// Bytes as Kafka's schemas say: ConsumerProtocolSubscription and ConsumerProtocolAssignment.
@Suite struct ConsumerProtocolTests {
    private let version3: [UInt8] = [
        0, 3,  // version
        0, 0, 0, 2, 0, 1, 0x61, 0, 2, 0x62, 0x63,  // topics "a", "bc"
        0, 0, 0, 4, 0, 0, 0, 7,  // user data
        0, 0, 0, 1, 0, 1, 0x61, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5,  // owned a-0, a-5
        0, 0, 0, 7,  // generation
        0, 2, 0x72, 0x31,  // rack "r1"
    ]
    private let subscription = MemberSubscription(
        topics: ["a", "bc"], owned: [TopicPartition("a", 0), TopicPartition("a", 5)], generation: 7, rackId: "r1",
        userData: [0, 0, 0, 7])

    @Test func subscriptionVersion3() throws {
        #expect(subscription.encoded == version3)
        #expect(try MemberSubscription.decode(version3) == subscription)
    }

    @Test func emptySubscription() throws {
        let bytes: [UInt8] = [
            0, 3, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        ]
        #expect(MemberSubscription(topics: []).encoded == bytes)
        #expect(try MemberSubscription.decode(bytes) == MemberSubscription(topics: []))
    }

    /// Older members say less; a later version than is known says more, at the end.
    @Test func otherVersionsAreRead() throws {
        var older = subscription
        older.rackId = nil
        #expect(try MemberSubscription.decode([0, 2] + version3[2..<(version3.count - 4)]) == older)
        older.generation = -1
        #expect(try MemberSubscription.decode([0, 1] + version3[2..<(version3.count - 8)]) == older)
        older.owned = []
        #expect(try MemberSubscription.decode([0, 0] + version3[2..<(version3.count - 27)]) == older)
        #expect(try MemberSubscription.decode([0, 9] + version3[2...] + [1, 2, 3]) == subscription)
    }

    @Test func everyTruncationIsRefused() {
        for length in 0..<version3.count {
            #expect(throws: ClientError.self) { try MemberSubscription.decode(Array(version3[..<length])) }
        }
    }

    @Test func assignment() throws {
        let partitions = [TopicPartition("a", 1), TopicPartition("a", 2), TopicPartition("b", 0)]
        let bytes: [UInt8] = [
            0, 0, 0, 0, 0, 2, 0, 1, 0x61, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0x62, 0, 0, 0, 1, 0, 0, 0, 0,
            0xFF, 0xFF, 0xFF, 0xFF,
        ]
        #expect(ConsumerProtocol.encodeAssignment(partitions) == bytes)
        #expect(try ConsumerProtocol.assignment(bytes) == partitions)
        // As Java's clients write it, version 3 and with user data.
        #expect(
            try ConsumerProtocol.assignment([0, 3] + bytes[2..<(bytes.count - 4)] + [0, 0, 0, 1, 9]) == partitions)
    }

    @Test func stickyUserData() {
        let data = StickyUserData(partitions: [TopicPartition("a", 1), TopicPartition("b", 0)], generation: 3)
        let bytes: [UInt8] = [
            0, 0, 0, 2, 0, 1, 0x61, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0x62, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3,
        ]
        #expect(data.encoded == bytes)
        #expect(StickyUserData.decode(bytes) == data)
        let version0 = StickyUserData.decode(Array(bytes.dropLast(4)))
        #expect(version0 == StickyUserData(partitions: data.partitions, generation: -1))
        #expect(StickyUserData.decode(nil) == nil)
        #expect(StickyUserData.decode([1, 2, 3]) == nil)
    }

    @Test func assignorsSeeWhatTheirStrategySays() {
        var told = subscription
        told.userData = StickyUserData(partitions: [TopicPartition("bc", 1)], generation: 5).encoded
        let sticky = told.member("m", instanceId: "i", for: .sticky)
        #expect(sticky.owned == [TopicPartition("bc", 1)] && sticky.generation == 5 && sticky.instanceId == "i")
        let cooperative = told.member("m", instanceId: nil, for: .cooperativeSticky)
        #expect(cooperative.owned == told.owned && cooperative.generation == 7)
        // Version 1 has the generation in the user data, alone or as librdkafka writes it.
        told.generation = -1
        #expect(told.member("m", instanceId: nil, for: .cooperativeSticky).generation == 5)
        told.userData = StickyUserData.encode(generation: 0x0102_0304)
        #expect(told.userData == [1, 2, 3, 4])
        #expect(told.member("m", instanceId: nil, for: .cooperativeSticky).generation == 0x0102_0304)
        #expect(told.member("m", instanceId: nil, for: .range).owned.isEmpty)
    }
}
