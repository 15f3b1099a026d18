import Testing

@testable import MartletClient

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
        let hash = Array(text.utf8).withUnsafeBytes { murmur2($0) }
        #expect(Int32(bitPattern: hash) == Int32(expected))
    }

    /// -973932308 without its sign bit is 1173551340.
    @Test func aKeysPartitionIsTheHashWithoutItsSign() {
        #expect(KeyPartitioner.partition(ofKey: Array("21".utf8), count: 7) == Int32(1_173_551_340 % 7))
        #expect(KeyPartitioner.partition(ofKey: Array("21".utf8), count: 1) == 0)
    }

    @Test func withoutAKeyAPartitionStaysUntilItHasHadItsShare() {
        var generator = CountingGenerator()
        var sticky = StickyPartitioner()
        #expect(sticky.isSpent(stickyBytes: 100, batchIsFull: false))
        sticky.next(queueLengths: [0, 0, 0], isAdaptive: true, using: &generator)
        #expect((0..<3).contains(sticky.partition))
        sticky.didAppend(99)
        #expect(!sticky.isSpent(stickyBytes: 100, batchIsFull: true))
        sticky.didAppend(1)
        #expect(sticky.isSpent(stickyBytes: 100, batchIsFull: true))
        // A batch that is half full goes on to be filled, but not for ever.
        #expect(!sticky.isSpent(stickyBytes: 100, batchIsFull: false))
        sticky.didAppend(100)
        #expect(sticky.isSpent(stickyBytes: 100, batchIsFull: false))
        sticky.next(queueLengths: [0, 0, 0], isAdaptive: true, using: &generator)
        #expect(!sticky.isSpent(stickyBytes: 100, batchIsFull: true))
    }

    private func counts(_ lengths: [Int?], isAdaptive: Bool) -> [Int] {
        var generator = CountingGenerator()
        var sticky = StickyPartitioner()
        var counts = lengths.map { _ in 0 }
        for _ in 0..<10_000 {
            sticky.next(queueLengths: lengths, isAdaptive: isAdaptive, using: &generator)
            counts[Int(sticky.partition)] += 1
        }
        return counts
    }

    @Test func partitionsWithoutALeaderAreAvoided() {
        let counts = counts([nil, 0, nil, 7], isAdaptive: false)
        #expect(counts[0] == 0 && counts[2] == 0)
        #expect(counts[1] > 4500 && counts[3] > 4500)
        #expect(self.counts([nil, nil], isAdaptive: true).allSatisfy { $0 > 4500 })
    }

    /// Weights 4, 1 and 3 for queues of 0, 3 and 1 batches (KIP-794).
    @Test func longerQueuesComeLessOften() {
        let counts = counts([0, 3, 1], isAdaptive: true)
        #expect(abs(counts[0] - 5000) < 300)
        #expect(abs(counts[1] - 1250) < 200)
        #expect(abs(counts[2] - 3750) < 300)
    }
}
