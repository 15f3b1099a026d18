import HistoryChecker
import Testing

@Suite struct TransactionTests {
    private var history = History()

    @Test(
        "a transaction of unknown outcome is there or not, never both",
        arguments: [TransactionEnd.Outcome.unknown, nil])
    func torn(outcome: TransactionEnd.Outcome?) throws {
        for visible in 0..<4 {
            var history = History()
            history.send(1, at: 0, transaction: 7)
            history.send(2, to: t1, at: 0, transaction: 7)
            if let outcome { history.end(7, outcome) }
            history.finalRead(visible & 1 == 0 ? [:] : [0: 1], end: 2)
            history.finalRead(visible & 2 == 0 ? [:] : [0: 2], of: t1, end: 2)
            let verdicts = [[], ["torn-transaction t-1 [0] [2]"], ["torn-transaction t-0 [0] [1]"], []]
            #expect(try history.verdict() == verdicts[visible])
        }
    }

    @Test mutating func tornAfterTheCommitIsALossToo() throws {
        history.send(1, at: 0, transaction: 7)
        history.send(2, at: 1, transaction: 7)
        history.end(7, .committed)
        history.finalRead([0: 1], end: 3)
        #expect(try history.verdict() == ["lost-write t-0 [1] [2]", "torn-transaction t-0 [1] [2]"])
        #expect(try history.anomalies()[1].transaction == 7)
    }

    @Test mutating func aValueWithoutAnswerMayBeMissing() throws {
        history.send(1, at: 0, transaction: 7)
        history.send(2, transaction: 7, outcome: .unknown)
        history.end(7, .committed)
        history.finalRead([0: 1], end: 2)
        #expect(try history.verdict() == [])
    }

    @Test("records without the offsets of their transaction", arguments: [TransactionEnd.Outcome.committed, .unknown])
    func offsetsGone(outcome: TransactionEnd.Outcome) throws {
        for told in [nil, 3, 5] as [Int64?] {
            var history = History()
            history.commit(3, time: span(1, 2))
            history.send(1, to: t1, at: 0, transaction: 7, time: span(3, 4))
            history.commit(5, transaction: 7, time: span(5, 6))
            history.end(7, outcome, time: span(7, 8))
            history.fetch(told, by: "d", final: true, time: span(20, 21))
            history.finalRead([0: 1], of: t1)
            let isTorn = told != 5
            let offsets = "[\(([5, told].compactMap { $0 }).map { "\($0)" }.joined(separator: ", "))]"
            #expect(try history.verdict() == (isTorn ? ["torn-transaction t-0 \(offsets) []"] : []))
        }
    }

    @Test mutating func offsetsWithoutTheirRecords() throws {
        history.commit(5, by: "p", transaction: 7)
        history.send(1, to: t1, at: 0, transaction: 7)
        history.end(7, .unknown)
        history.finalRead([:], of: t1, end: 1)
        history.fetch(nil, final: true)
        #expect(try history.verdict() == [])
        history.fetch(5, final: true)
        #expect(try history.verdict() == ["torn-transaction t-0 [5] [1]"])
        history.commit(5, by: "d", outcome: .unknown)
        #expect(try history.verdict() == [], "the offset may be another's")
    }
}
