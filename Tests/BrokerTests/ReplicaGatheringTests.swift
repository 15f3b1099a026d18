import Testing

@testable import Broker

@Suite struct ReplicaGatheringTests {
    private let quiet = ReplicaGathering.quietNanoseconds

    @Test func fetchesGoTogetherWhenAppendsPause() {
        var gathering = ReplicaGathering()
        var taken = gathering.take()
        #expect(taken.isEmpty)
        // The first asks for a look, which is for all.
        var asks = gathering.add(connection: 1, slot: 10, now: 0)
        #expect(asks)
        asks = gathering.add(connection: 2, slot: 20, now: 50)
        #expect(!asks)
        gathering.appended()
        var isOver = gathering.isOver(now: quiet)
        taken = gathering.take()
        #expect(!isOver && taken.isEmpty)
        isOver = gathering.isOver(now: 2 * quiet)
        taken = gathering.take()
        #expect(isOver && taken.map(\.slot) == [10, 20])
        taken = gathering.take()
        #expect(taken.isEmpty)
        asks = gathering.add(connection: 1, slot: 11, now: 3 * quiet)
        #expect(asks)
    }

    @Test func appendsWithoutAPauseHoldNothingBackForLong() {
        var gathering = ReplicaGathering()
        _ = gathering.add(connection: 1, slot: 1, now: 0)
        var looks: Int64 = 0
        repeat {
            looks += 1
            gathering.appended()
        } while !gathering.isOver(now: looks * quiet)
        #expect(looks == ReplicaGathering.mostNanoseconds / quiet)
        let taken = gathering.take()
        #expect(taken.count == 1)
        // What was appended before counts for nothing.
        gathering.appended()
        _ = gathering.add(connection: 1, slot: 2, now: 0)
        let isOver = gathering.isOver(now: quiet)
        #expect(isOver)
    }
}
