import HistoryChecker
import Testing

@Suite struct WriteTests {
    private var history = History()

    @Test mutating func lost() throws {
        history.send(1, at: 0)
        history.send(2, at: 1)
        history.send(3, at: 2)
        history.finalRead([0: 1, 2: 3])
        let anomalies = try history.anomalies()
        #expect(try history.verdict() == ["lost-write t-0 [1] [2]"])
        #expect(anomalies[0].process == "p")
        #expect(
            anomalies[0].explanation
                == "2 was acknowledged at offset 1 and is not in the final read; 3, sent later by p, is at 2")
    }

    @Test mutating func lostAtTheEnd() throws {
        history.send("a", at: 0)
        history.send("b", at: 1)
        history.finalRead([0: "a"], end: 1)
        #expect(try history.verdict() == ["lost-write t-0 [1] [\"b\"]"])
        #expect(try history.anomalies()[0].explanation.hasSuffix("not in the final read, which ends before it"))
    }

    @Test mutating func lostFromAnEmptyPartition() throws {
        history.send(1)
        history.finalRead([:])
        #expect(try history.verdict() == ["lost-write t-0 [] [1]"])
    }

    @Test mutating func whatAReaderSawMustStay() throws {
        history.send(1, outcome: .unknown)
        history.send(2, transaction: 1, outcome: .unknown)
        history.poll([0: 1, 1: 2], at: .readUncommitted)
        history.finalRead([:], end: 2)
        #expect(try history.verdict() == ["lost-write t-0 [0] [1]"])
        history.poll([1: 2], by: "d")
        #expect(try history.verdict() == ["lost-write t-0 [0] [1]", "lost-write t-0 [1] [2]"])
    }

    @Test mutating func notLost() throws {
        history.send(1, outcome: .unknown)
        history.send(2, outcome: .refused)
        history.send(3, at: 0, transaction: 1)
        history.end(1, .aborted)
        history.send(4, at: 2, transaction: 2)
        history.end(2, .unknown)
        history.send(5, at: 4, transaction: 3)
        history.send(6, to: t1, at: 0)
        history.finalRead([:], end: 9)
        #expect(try history.verdict() == [], "no end is unknown, and t-1 was not read")
    }

    @Test mutating func aCommittedTransactionIsLost() throws {
        history.send(1, at: 0, transaction: 1)
        history.send(2, to: t1, at: 0, transaction: 1)
        history.end(1, .unknown)
        history.end(1, .committed)
        history.finalRead([:])
        history.finalRead([:], of: t1)
        #expect(try history.verdict() == ["lost-write t-0 [0] [1]", "lost-write t-1 [0] [2]"])
    }

    @Test mutating func duplicate() throws {
        history.send(1, at: 0)
        history.send(2, at: 1, isIdempotent: false)
        history.finalRead([0: 1, 1: 2, 2: 1, 3: 2])
        #expect(try history.verdict() == ["duplicate t-0 [0, 2] [1]"])
    }

    @Test mutating func duplicateInAPoll() throws {
        history.send(1, outcome: .unknown)
        history.poll([3: 1])
        history.finalRead([5: 1])
        #expect(try history.verdict() == ["duplicate t-0 [3, 5] [1]"])
    }

    @Test mutating func misplaced() throws {
        history.send(1, at: 0)
        history.finalRead([4: 1])
        #expect(try history.verdict() == ["misplaced-write t-0 [0, 4] [1]"])
    }

    @Test mutating func nonMonotonicSend() throws {
        history.send(1, at: 1)
        history.send(2, at: 0)
        history.send(3, by: "q", at: 3, isIdempotent: false)
        history.send(4, by: "q", at: 2, isIdempotent: false)
        history.finalRead([0: 2, 1: 1, 2: 4, 3: 3])
        #expect(try history.verdict() == ["non-monotonic-send t-0 [1, 0] [1, 2]"])
    }

    @Test mutating func sendsWithoutNumbersAreOrderedByTime() throws {
        history.send(1, at: 1, isIdempotent: false, time: span(1, 5))
        history.send(2, at: 0, isIdempotent: false, time: span(5, 6))
        #expect(try history.verdict() == [])
        history.send(3, by: "q", at: 3, isIdempotent: false, time: span(1, 4))
        history.send(4, by: "q", at: 2, isIdempotent: false, time: span(5, 6))
        #expect(try history.verdict() == ["non-monotonic-send t-0 [3, 2] [3, 4]"])
    }

    @Test mutating func reordered() throws {
        history.send(1, outcome: .unknown)
        history.send(2, at: 0)
        history.finalRead([0: 2, 1: 1])
        #expect(try history.verdict() == ["reordered-writes t-0 [1, 0] [1, 2]"])
    }

    @Test("answers may come in another order than requests")
    mutating func orderOfInvocation() throws {
        history.send(2, at: 1, time: span(2, 3))
        history.send(1, at: 0, time: span(1, 4))
        history.finalRead([0: 1, 1: 2])
        #expect(try history.verdict() == [])
    }
}
