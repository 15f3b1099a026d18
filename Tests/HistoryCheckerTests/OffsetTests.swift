import HistoryChecker
import Testing

@Suite struct OffsetTests {
    private var history = History()

    @Test mutating func aheadOfTheLastValue() throws {
        history.send(1, at: 0)
        history.finalRead([0: 1])
        history.commit(1)
        #expect(try history.verdict() == [])
        history.commit(2)
        history.fetch(2)
        #expect(try history.verdict() == ["offset-committed-ahead t-0 [1, 2] []"])
        #expect(try history.anomalies()[0].group == "g")
    }

    @Test mutating func aheadOfTheEnd() throws {
        history.send(1, at: 0, transaction: 1)
        history.end(1, .committed)
        history.commit(2)
        history.finalRead([0: 1])
        #expect(try history.verdict() == [], "a marker may lie behind the value")
        history.finalRead([:], end: 2)
        #expect(try history.verdict() == [])
        history.fetch(3, by: "x")
        #expect(try history.verdict() == ["offset-committed-ahead t-0 [2, 3] []"])
    }

    @Test mutating func aConsumerGoesBack() throws {
        history.commit(5)
        history.commit(9, outcome: .unknown)
        history.commit(5)
        history.commit(3, by: "d")
        #expect(try history.verdict() == [])
        history.commit(4)
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [5, 4] []"])
        history.events.insert(Event(process: "c", .position(.set(t0, offset: 0))), at: 4)
        #expect(try history.verdict() == [])
    }

    @Test mutating func aFetchGoesBack() throws {
        history.commit(5, time: span(1, 10))
        history.fetch(3, by: "d", time: span(10, 20))
        #expect(try history.verdict() == [], "the two overlap")
        history.fetch(5, by: "d", time: span(21, 22))
        history.fetch(3, by: "d", time: span(23, 24))
        history.fetch(nil, by: "d", time: span(25, 26))
        #expect(
            try history.verdict() == [
                "committed-offset-went-back t-0 [5] []", "committed-offset-went-back t-0 [5, 3] []",
            ])
    }

    @Test mutating func aFetchWithoutTimes() throws {
        history.commit(5)
        history.fetch(3, by: "d")
        #expect(try history.verdict() == [], "nothing orders the two")
        history.events[1].process = "c"
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [5, 3] []"])
    }

    @Test("a commit without answer may take effect at any time, a refused one never")
    mutating func unknownCommits() throws {
        history.commit(3, by: "x", time: span(1, 2), outcome: .unknown)
        history.commit(5, by: "y", time: span(3, 4))
        history.commit(2, by: "z", time: span(5, 6), outcome: .refused)
        history.fetch(3, by: "d", time: span(7, 8))
        #expect(try history.verdict() == [])
        history.fetch(2, by: "d", time: span(9, 10))
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [3, 2] []"])
    }

    @Test mutating func anOverwrittenCommitDoesNotComeBack() throws {
        history.commit(3, by: "x", time: span(1, 2))
        history.commit(5, by: "y", time: span(3, 4))
        history.fetch(3, by: "d", time: span(5, 6))
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [5, 3] []"])
        history.commit(3, by: "z", time: span(4, 5))
        #expect(try history.verdict() == [], "z was reset, and overlaps the fetch")
    }

    @Test mutating func aCommitDuringTheFetchMayBeTold() throws {
        history.commit(5, by: "x", time: span(1, 2))
        history.commit(3, by: "y", time: span(12, 20))
        history.fetch(3, by: "d", time: span(10, 15))
        #expect(try history.verdict() == [])
        history.events[1].time = span(16, 20)
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [5, 3] []"])
    }

    @Test("the offsets of a transaction count from its commit, for plain fetches some time after")
    func transactions() throws {
        for isStable in [true, false] {
            var history = History()
            history.commit(5, by: "x", transaction: 1, time: span(1, 2))
            history.fetch(nil, by: "d", stable: isStable, time: span(3, 4))
            history.end(1, .committed, by: "x", time: span(5, 6))
            #expect(try history.verdict() == [])
            history.fetch(nil, by: "e", stable: isStable, time: span(7, 8))
            #expect(try history.verdict() == (isStable ? ["committed-offset-went-back t-0 [5] []"] : []))
        }
    }

    @Test mutating func abortedOffset() throws {
        history.commit(5, transaction: 1)
        history.end(1, .aborted)
        history.fetch(5, by: "d")
        history.fetch(5, by: "d", final: true)
        #expect(try history.verdict() == ["aborted-offset t-0 [5] []"])
        history.commit(5, by: "d")
        #expect(try history.verdict() == [])
    }

    @Test mutating func aLostCommitAtTheEnd() throws {
        history.commit(5)
        history.fetch(nil, by: "d", final: true)
        #expect(try history.verdict() == ["committed-offset-went-back t-0 [5] []"])
    }
}

@Suite struct ExactlyOnceTests {
    private let inputs = [
        Record(t0, offset: 0, value: 10), Record(t0, offset: 1, value: 11), Record(t0, offset: 3, value: 12),
    ]

    private func output(_ offset: Int64, from source: ExactlyOnce.Source) -> ExactlyOnce.Output {
        .init(Record(t1, offset: offset, value: .text("out\(offset)")), from: source)
    }

    @Test func once() {
        let outputs = [
            output(0, from: .offset(t0, 0)), output(1, from: .value(t0, 12)), output(2, from: .offset(t0, 1)),
        ]
        #expect(ExactlyOnce(inputs: inputs, outputs: outputs).anomalies() == [])
    }

    @Test func missingTwiceAndFromNowhere() {
        let outputs = [
            output(0, from: .offset(t0, 0)), output(1, from: .value(t0, 10)), output(2, from: .offset(t0, 2)),
            output(3, from: .value(t0, 12)), output(4, from: .value(t1, 10)),
        ]
        let verdict = ExactlyOnce(inputs: inputs, outputs: outputs).anomalies().map {
            "\($0.kind.rawValue) \($0.partition) \($0.offsets) \($0.values)"
        }
        #expect(
            verdict == [
                "not-processed t-0 [1] [11]", "processed-again t-0 [0] [10]",
                "processed-from-nowhere t-1 [2] [\"out2\"]", "processed-from-nowhere t-1 [4] [\"out4\"]",
            ])
    }
}

@Suite struct BadHistoryTests {
    private func error(_ fill: (inout History) -> Void) -> HistoryError? {
        var history = History()
        fill(&history)
        do {
            _ = try history.anomalies()
            return nil
        } catch {
            return error
        }
    }

    @Test func refused() {
        #expect(
            error {
                $0.send(1); $0.send(1, to: t1)
            } == nil)
        #expect(
            error {
                $0.send(1); $0.send(1, by: "q")
            } == .sentTwice(1, t0))
        #expect(
            error {
                $0.end(1, .committed); $0.end(1, .unknown); $0.end(1, .aborted)
            } == .endedTwice(transaction: 1))
        #expect(
            error {
                $0.finalRead([:]); $0.record("x", .finalRead(FinalRead(t0, [])))
            } == .finalReadByTwo(t0))
        #expect(error { $0.send(1, at: -1) } == .negativeOffset(t0))
        #expect(error { $0.poll([-1: 1]) } == .negativeOffset(t0))
        #expect(error { $0.finalRead([-1: 1]) } == .negativeOffset(t0))
        #expect(error { $0.commit(-1) } == .negativeOffset(t0))
        #expect(error { $0.fetch(.max) } == .negativeOffset(t0))
        #expect(error { $0.fetch(1, time: span(2, 1)) } == .backwardInterval(process: "c"))
    }

    @Test func anEmptyHistoryIsClean() throws {
        #expect(try History().anomalies() == [])
    }
}
