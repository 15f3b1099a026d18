import HistoryChecker
import Testing

@Suite struct ReadTests {
    private var history = History()

    @Test mutating func abortedRead() throws {
        history.send(1, at: 0, transaction: 1)
        history.end(1, .aborted)
        history.poll([0: 1], by: "c", at: .readUncommitted)
        #expect(try history.verdict() == [])
        history.poll([0: 1], by: "d")
        history.poll([0: 1], by: "e")
        #expect(try history.verdict() == ["aborted-read t-0 [0] [1]"])
        #expect(
            try history.anomalies()[0].explanation == "1 of transaction 1 was aborted, and d read it at offset 0")
        #expect(try history.anomalies()[0].transaction == 1)
    }

    @Test mutating func abortedInTheFinalRead() throws {
        history.send(1, at: 0, transaction: 1)
        history.send(2, at: 1, transaction: 1)
        history.end(1, .aborted)
        history.finalRead([0: 1], end: 3)
        #expect(try history.verdict() == ["aborted-read t-0 [0] [1]"])
    }

    @Test mutating func refusedRead() throws {
        history.send(1, outcome: .refused)
        history.poll([0: 1], at: .readUncommitted)
        #expect(try history.verdict() == ["aborted-read t-0 [0] [1]"])
    }

    @Test mutating func precommittedByTime() throws {
        history.send(1, at: 0, transaction: 1, time: span(1, 2))
        history.end(1, .committed, time: span(10, 20))
        history.poll([0: 1], time: span(5, 10))
        #expect(try history.verdict() == [], "the poll may have ended after the commit began")
        history.poll([0: 1], by: "d", time: span(5, 9))
        #expect(try history.verdict() == ["precommitted-read t-0 [0] [1]"])
    }

    @Test mutating func precommittedInOneProcess() throws {
        history.send(1, at: 0, transaction: 1)
        history.poll([0: 1], by: "p")
        #expect(try history.verdict() == [], "no end was recorded")
        history.end(1, .unknown)
        #expect(try history.verdict() == ["precommitted-read t-0 [0] [1]"])
    }

    @Test mutating func anyOfSeveralEndsMayHaveCommitted() throws {
        history.send(1, at: 0, transaction: 1, time: span(1, 2))
        history.end(1, .unknown, time: span(10, 20))
        history.end(1, .committed, time: span(30, 40))
        history.poll([0: 1], time: span(22, 25))
        #expect(try history.verdict() == [])
        history.poll([0: 1], by: "d", time: span(5, 6))
        #expect(try history.verdict() == ["precommitted-read t-0 [0] [1]"])
    }

    @Test mutating func inconsistentOffsets() throws {
        history.send(1, at: 0)
        history.send(2, at: 0)
        history.poll([0: 7], at: .readUncommitted)
        history.poll([5: 8], by: "d")
        history.poll([5: 9], by: "e")
        #expect(
            try history.verdict() == ["inconsistent-offsets t-0 [0] [1, 2, 7]", "inconsistent-offsets t-0 [5] [8, 9]"])
    }

    @Test mutating func partitionsHaveOwnOffsets() throws {
        history.send(1, at: 0)
        history.send(2, to: t1, at: 0)
        history.send(1, to: t1, at: 1)
        history.finalRead([0: 1])
        history.finalRead([0: 2, 1: 1], of: t1)
        #expect(try history.verdict() == [])
    }
}

@Suite struct PollTests {
    private var history = History()

    @Test mutating func skipWithinAPoll() throws {
        history.poll([0: 1, 3: 4])
        history.finalRead([0: 1, 1: 2, 2: 3, 3: 4])
        #expect(try history.verdict() == ["skipped-poll t-0 [1, 2] [2, 3]"])
        #expect(
            try history.anomalies()[0].explanation
                == "c was at offset 1 and was given 3 next, within one poll, passing over 1, 2")
    }

    @Test mutating func skipBetweenPolls() throws {
        history.poll([0: 1])
        history.poll([0: 9], at: .readCommitted, of: t1)
        history.poll([2: 3])
        history.finalRead([0: 1, 1: 2, 2: 3])
        #expect(try history.verdict() == ["skipped-poll t-0 [1] [2]"])
        #expect(try history.anomalies()[0].explanation.contains("between polls"))
    }

    @Test mutating func skipAfterAPositionWasSet() throws {
        history.record("c", .position(.set(t0, offset: 1)))
        history.poll([2: 3])
        history.finalRead([0: 1, 1: 2, 2: 3])
        #expect(try history.verdict() == ["skipped-poll t-0 [1] [2]"])
    }

    @Test mutating func gapsOfMarkersAndAbortedValues() throws {
        history.poll([0: 1, 5: 2])
        history.finalRead([0: 1, 5: 2])
        #expect(try history.verdict() == [])
    }

    @Test("read_uncommitted must show what others saw at that level, read_committed need not")
    mutating func skipOfAnAbortedValue() throws {
        history.poll([0: 1, 1: 2, 2: 3], by: "c", at: .readUncommitted)
        history.poll([0: 1, 2: 3], by: "d", at: .readCommitted)
        history.finalRead([0: 1, 2: 3])
        #expect(try history.verdict() == [])
        history.poll([0: 1, 2: 3], by: "e", at: .readUncommitted)
        #expect(try history.verdict() == ["skipped-poll t-0 [1] [2]"])
    }

    @Test mutating func backwardAndRepeated() throws {
        history.poll([0: 1, 1: 2, 1: 2])
        history.poll([0: 1])
        history.finalRead([0: 1, 1: 2])
        #expect(try history.verdict() == ["non-monotonic-poll t-0 [2, 0] [1]", "non-monotonic-poll t-0 [2, 1] [2]"])
    }

    @Test(
        "a mark allows a jump, in its partition and process only",
        arguments: [
            PositionMark.assigned([t0]), .revoked([t1, t0]), .set(t0, offset: 0),
        ])
    func marks(mark: PositionMark) throws {
        var history = History()
        history.poll([0: 1, 1: 2])
        history.record("c", .position(mark))
        history.poll([0: 1])
        history.finalRead([0: 1, 1: 2])
        #expect(try history.verdict() == [])
        history.events[1].process = "d"
        #expect(try history.verdict() == ["non-monotonic-poll t-0 [2, 0] [1]"])
        history.events[1] = Event(process: "c", .position(.assigned([t1])))
        #expect(try history.verdict() == ["non-monotonic-poll t-0 [2, 0] [1]"])
    }

    @Test mutating func finalReadThatRepeats() throws {
        history.finalRead([0: 1, 1: 2])
        history.finalRead([1: 2, 2: 3])
        #expect(try history.verdict() == ["non-monotonic-poll t-0 [2, 1] [2]"])
    }
}
