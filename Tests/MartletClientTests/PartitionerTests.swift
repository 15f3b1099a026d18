import MartletClient
import Testing

/// Always the same numbers, so that a test is the same each time.
struct CountingGenerator: RandomNumberGenerator {
    var state: UInt64 = 1

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state
    }
}

@Suite struct PartitionerTests {
    /// The values of Kafka's own test (UtilsTest.testMurmur2).
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
    ])
    func murmur2IsKafkas(text: String, expected: Int) {
        #expect(Int32(bitPattern: murmur2(Array(text.utf8))) == Int32(expected))
    }

    @Test func murmur2OfASliceIsThatOfItsBytes() {
        let bytes = Array("__foobar__".utf8)
        #expect(murmur2(bytes[2..<8]) == murmur2(Array("foobar".utf8)))
    }

    /// -973932308 without its sign bit is 1173551340.
    @Test func aKeysPartitionIsTheHashWithoutItsSign() {
        #expect(Partitioner.partition(ofKey: Array("21".utf8), count: 7) == Int32(1_173_551_340 % 7))
        #expect(Partitioner.partition(ofKey: Array("21".utf8), count: 1) == 0)
    }

    @Test func withoutAKeyAPartitionStaysForABatchAndThenChanges() {
        var generator = CountingGenerator()
        var partitioner = Partitioner(stickyBytes: 100)
        func choose() -> Int32 {
            partitioner.partition(topic: "t", key: nil, count: 3, available: [0, 1, 2], using: &generator)
        }
        let first = choose()
        partitioner.didAppend(99, topic: "t", partition: first, available: [0, 1, 2], using: &generator)
        #expect(choose() == first)
        partitioner.didAppend(1, topic: "t", partition: first, available: [0, 1, 2], using: &generator)
        let second = choose()
        #expect(second != first)
        // Bytes of records with keys do not count against it when they go elsewhere.
        partitioner.didAppend(1000, topic: "t", partition: first, available: [0, 1, 2], using: &generator)
        #expect(choose() == second)
    }

    @Test func partitionsWithoutALeaderAreAvoided() {
        var generator = CountingGenerator()
        var partitioner = Partitioner(stickyBytes: 1)
        for _ in 0..<20 {
            let chosen = partitioner.partition(topic: "t", key: nil, count: 9, available: [4, 7], using: &generator)
            #expect(chosen == 4 || chosen == 7)
            partitioner.didAppend(5, topic: "t", partition: chosen, available: [4, 7], using: &generator)
        }
    }
}
