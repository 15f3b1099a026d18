import HistoryChecker

/// One way to damage a history; nil where the history has no place for it.
struct Plant: Sendable, CustomStringConvertible {
    let name: String
    let plant: @Sendable (inout Garden) -> Planted?

    var description: String { name }

    init(_ name: String, _ plant: @escaping @Sendable (inout Garden) -> Planted?) {
        self.name = name
        self.plant = plant
    }

    static let all: [Plant] = writes + reads + polls + offsets

    private static let writes = [
        Plant("an acknowledged value is gone") { garden in
            guard let lost = garden.pick(garden.written.filter(garden.isPromised)) else { return nil }
            garden.removeFromFinalRead(lost)
            return Planted(
                kind: .lostWrite, partition: lost.send.partition, offsets: [lost.offset], values: [lost.send.value],
                alsoAllowed: lost.send.transaction == nil ? [] : [.tornTransaction])
        },
        Plant("a value is there twice") { garden in
            guard let twice = garden.pick(garden.written.filter(\.isVisible)) else { return nil }
            let end = garden.endOffsets[twice.send.partition]!
            garden.insertIntoFinalRead(twice.send.partition, twice.send.value, at: end)
            return Planted(
                kind: .duplicate, partition: twice.send.partition, offsets: [twice.offset, end],
                values: [twice.send.value])
        },
        Plant("an acknowledgement names a wrong offset") { garden in
            guard let wrong = garden.pick(garden.written.filter(garden.isPromised)) else { return nil }
            let offset = garden.endOffsets[wrong.send.partition]! + 7
            garden.edit { operation in
                guard case .send(var send) = operation, send == wrong.send else { return }
                send.outcome = .acknowledged(offset: offset)
                operation = .send(send)
            }
            return Planted(
                kind: .misplacedWrite, partition: wrong.send.partition, offsets: [offset, wrong.offset],
                values: [wrong.send.value], alsoAllowed: [.nonMonotonicSend])
        },
        Plant("two acknowledged values change places") { garden in
            let pairs = garden.neighbours { garden.isPromised($0) && garden.isPromised($1) }
            guard let (first, second) = garden.pick(pairs) else { return nil }
            garden.swapEverywhere(first, second)
            return Planted(
                kind: .nonMonotonicSend, partition: first.send.partition, offsets: [second.offset, first.offset],
                values: [first.send.value, second.send.value])
        },
        Plant("two values change places, and only one was acknowledged") { garden in
            let pairs = garden.neighbours {
                $0.isVisible && $1.isVisible && ($0.send.outcome == .unknown) != ($1.send.outcome == .unknown)
            }
            guard let (first, second) = garden.pick(pairs) else { return nil }
            garden.swapEverywhere(first, second)
            return Planted(
                kind: .reorderedWrites, partition: first.send.partition, offsets: [second.offset, first.offset],
                values: [first.send.value, second.send.value])
        },
        Plant("a part of a transaction is gone") { garden in
            let isAborted = Set(garden.outcomes.filter { $0.value == .aborted }.map(\.key))
            let parts = garden.written.filter {
                $0.isVisible && $0.send.transaction.map { !isAborted.contains($0) } ?? false
            }
            let torn = Dictionary(grouping: parts) { $0.send.transaction! }.filter { $0.value.count > 1 }
            let acknowledged = torn.sorted { $0.key < $1.key }.flatMap(\.value).filter {
                if case .acknowledged(.some) = $0.send.outcome { true } else { false }
            }
            guard let lost = garden.pick(acknowledged) else { return nil }
            garden.removeFromFinalRead(lost)
            return Planted(
                kind: .tornTransaction, partition: lost.send.partition, offsets: [lost.offset],
                values: [lost.send.value], alsoAllowed: [.lostWrite])
        },
    ]

    private static let reads = [
        Plant("an aborted value is in the final read") { garden in
            let outcomes = garden.outcomes
            let aborted = garden.written.filter { $0.send.transaction.map { outcomes[$0] == .aborted } ?? false }
            guard let write = garden.pick(aborted) else { return nil }
            garden.insertIntoFinalRead(write.send.partition, write.send.value, at: write.offset)
            return Planted(
                kind: .abortedRead, partition: write.send.partition, offsets: [write.offset],
                values: [write.send.value], alsoAllowed: [.skippedPoll])
        },
        Plant("a refused value is read") { garden in
            guard let send = garden.pick(garden.refused) else { return nil }
            let offset = garden.endOffsets[send.partition, default: 0]
            let record = Record(send.partition, offset: offset, value: send.value)
            garden.history.record("peeper", .poll(Poll(.readUncommitted, [record])))
            return Planted(kind: .abortedRead, partition: send.partition, offsets: [offset], values: [send.value])
        },
        Plant("a value is read before it is committed") { garden in
            let outcomes = garden.outcomes
            let committed = garden.written.filter { $0.isVisible && $0.send.transaction != nil }
            guard let write = garden.pick(committed.filter { outcomes[$0.send.transaction!] != .aborted }) else {
                return nil
            }
            let number = garden.history.events.firstIndex {
                if case .transactionEnd(let end) = $0.operation {
                    end.transaction == write.send.transaction
                } else {
                    false
                }
            }!
            let record = Record(write.send.partition, offset: write.offset, value: write.send.value)
            let end = garden.history.events[number]
            let time = end.time.map { Interval(invoked: 0, completed: $0.invoked - 1) }
            let poll = Event(
                process: time == nil ? end.process : "early", time: time, .poll(Poll(.readCommitted, [record])))
            garden.history.events.insert(poll, at: number)
            return Planted(
                kind: .precommittedRead, partition: write.send.partition, offsets: [write.offset],
                values: [write.send.value])
        },
        Plant("an offset is told with another value") { garden in
            guard let write = garden.pick(garden.written.filter(\.isVisible)) else { return nil }
            let record = Record(write.send.partition, offset: write.offset, value: "other")
            garden.history.record("liar", .poll(Poll(.readCommitted, [record])))
            return Planted(
                kind: .inconsistentOffsets, partition: write.send.partition, offsets: [write.offset],
                values: [write.send.value, "other"].sorted())
        },
    ]

    private static let polls = [
        Plant("a poll leaves a value out") { garden in
            let visible = Set(garden.written.filter(\.isVisible).map(\.send.value))
            guard let (number, place, record) = garden.pick(garden.runs().filter { visible.contains($0.2.value) })
            else {
                return nil
            }
            guard case .poll(var poll) = garden.history.events[number].operation else { return nil }
            poll.records.remove(at: place)
            garden.history.events[number].operation = .poll(poll)
            return Planted(
                kind: .skippedPoll, partition: record.partition, offsets: [record.offset], values: [record.value])
        },
        Plant("a poll repeats a value") { garden in
            guard let (number, place, record) = garden.pick(garden.runs()) else { return nil }
            guard case .poll(var poll) = garden.history.events[number].operation else { return nil }
            poll.records.insert(record, at: place)
            garden.history.events[number].operation = .poll(poll)
            return Planted(
                kind: .nonMonotonicPoll, partition: record.partition, offsets: [record.offset + 1, record.offset],
                values: [record.value])
        },
    ]
}

extension Garden {
    /// Values that one producer wrote to a partition, one after the other, outside transactions.
    func neighbours(where condition: (Written, Written) -> Bool) -> [(Written, Written)] {
        var pairs: [(Written, Written)] = []
        for process in ["p1", "p2"] {
            for partition in Set(written.map(\.send.partition)).sorted() {
                let own = written.filter { $0.process == process && $0.send.partition == partition }
                pairs += zip(own, own.dropFirst()).filter(condition)
            }
        }
        return pairs
    }

    /// Records of polls that have another of their partition before and after them.
    func runs() -> [(event: Int, place: Int, Record)] {
        var runs: [(Int, Int, Record)] = []
        for (number, event) in history.events.enumerated() {
            guard case .poll(let poll) = event.operation, poll.records.count > 2 else { continue }
            for place in 1..<poll.records.count - 1 {
                let around = [poll.records[place - 1], poll.records[place + 1]]
                let record = poll.records[place]
                if around.allSatisfy({ $0.partition == record.partition }) { runs.append((number, place, record)) }
            }
        }
        return runs
    }
}
