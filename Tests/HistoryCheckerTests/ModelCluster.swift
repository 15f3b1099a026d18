import HistoryChecker
import TestSupport

/// A correct broker with its clients, whose every run makes a history without anomalies: transactions, lost answers,
/// refused writes, rebalances, seeks, overlapping requests.
struct ModelCluster {
    struct Entry {
        var value: ValueID
        var transaction: Int?
        var isMarker = false
    }

    struct OpenTransaction {
        let number: Int
        var firstOffsets: [TopicPartition: Int64] = [:]
        var offsets: [Place: Int64] = [:]
    }

    struct Place: Hashable {
        let group: String
        let partition: TopicPartition
    }

    struct Consumer {
        let process: String
        let group: String
        let isolation: IsolationLevel
        var positions: [TopicPartition: Int64] = [:]
    }

    let partitions = [TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)]
    var random: SeededGenerator
    private var clock = 1
    private var busyUntil: [String: Int] = [:]
    private var events: [Event] = []
    private(set) var logs: [TopicPartition: [Entry]] = [:]
    private(set) var aborted: Set<Int> = []
    private var open: [String: OpenTransaction] = [:]
    private var committed: [Place: Int64] = [:]
    private var consumers: [Consumer]
    private var lastTransaction = 0
    private var lastValue: Int64 = 0
    private let hasTextValues: Bool

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        hasTextValues = Bool.random(using: &random)
        consumers = [
            Consumer(process: "c1", group: "g", isolation: .readCommitted),
            Consumer(process: "c2", group: "g", isolation: .readCommitted),
            Consumer(process: "c3", group: "h", isolation: .readUncommitted),
            Consumer(process: "c4", group: "loop", isolation: .readCommitted),
        ]
        for number in consumers.indices { for partition in partitions { assign(partition, to: number) } }
    }

    /// The history of a run of so many steps, with times or without.
    static func history(seed: UInt64, steps: Int = 150) -> (History, ModelCluster) {
        var cluster = ModelCluster(seed: seed)
        for _ in 0..<steps { cluster.step() }
        return (cluster.finish(), cluster)
    }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    // MARK: Time

    /// An operation that takes effect now, and was begun before and ends after.
    private mutating func interval(_ process: String, isSequential: Bool = true) -> Interval {
        clock += Int.random(in: 1...4, using: &random)
        let free = busyUntil[process, default: 0] + 1
        clock = max(clock, free)
        let invoked = max(free, clock - Int.random(in: 0...10, using: &random))
        let completed = clock + Int.random(in: 0...10, using: &random)
        busyUntil[process] = isSequential ? completed : invoked
        return Interval(invoked: invoked, completed: completed)
    }

    private mutating func record(_ process: String, _ operation: Operation) {
        events.append(Event(process: process, time: interval(process), operation))
    }

    // MARK: Steps

    private mutating func step() {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<25: sendSome("p\(Int.random(in: 1...2, using: &random))", isIdempotent: true)
        case 25..<30: sendSome("p3", isIdempotent: false)
        case 30..<50: advanceTransaction("t\(Int.random(in: 1...2, using: &random))")
        case 50..<75: poll(Int.random(in: consumers.indices, using: &random))
        case 75..<85: commit(Int.random(in: 0...2, using: &random))
        case 85..<90: fetchOffset(Int.random(in: consumers.indices, using: &random), isFinal: false)
        default: move(Int.random(in: consumers.indices, using: &random))
        }
    }

    /// Several requests in flight, answered in any order.
    private mutating func sendSome(_ process: String, isIdempotent: Bool) {
        let partition = partitions.randomElement(using: &random)!
        let transaction = open[process]?.number
        var latest = 0
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            lastValue += 1
            let value: ValueID = hasTextValues ? .text("v\(lastValue)") : .number(lastValue)
            let time = interval(process, isSequential: false)
            latest = max(latest, time.completed)
            let isWritten = chance(85)
            let outcome: Send.Outcome
            if isWritten {
                let offset = append(Entry(value: value, transaction: transaction), to: partition, process)
                if !isIdempotent, chance(30) { _ = append(Entry(value: value), to: partition, process) }
                outcome = chance(90) ? .acknowledged(offset: chance(95) ? offset : nil) : .unknown
            } else {
                outcome = chance(50) ? .refused : .unknown
            }
            let send = Send(value, to: partition, transaction: transaction, isIdempotent: isIdempotent, outcome)
            events.append(Event(process: process, time: time, .send(send)))
        }
        busyUntil[process] = latest
    }

    private mutating func append(_ entry: Entry, to partition: TopicPartition, _ process: String) -> Int64 {
        logs[partition, default: []].append(entry)
        let offset = Int64(logs[partition]!.count - 1)
        if entry.transaction != nil, open[process]!.firstOffsets[partition] == nil {
            open[process]!.firstOffsets[partition] = offset
        }
        return offset
    }

    private mutating func advanceTransaction(_ process: String) {
        guard open[process] != nil else {
            lastTransaction += 1
            open[process] = OpenTransaction(number: lastTransaction)
            return
        }
        if chance(60) {
            sendSome(process, isIdempotent: true)
        } else if process == "t1", chance(60) {
            commit(3, in: process)
        } else {
            end(process)
        }
    }

    private mutating func end(_ process: String) {
        let transaction = open.removeValue(forKey: process)!
        let commits = chance(75)
        let outcome: TransactionEnd.Outcome = chance(80) ? commits ? .committed : .aborted : .unknown
        record(process, .transactionEnd(TransactionEnd(transaction.number, outcome)))
        if commits {
            committed.merge(transaction.offsets) { $1 }
        } else {
            aborted.insert(transaction.number)
        }
        for partition in partitions where transaction.firstOffsets[partition] != nil {
            logs[partition]!.append(Entry(value: "", transaction: transaction.number, isMarker: true))
        }
    }

    private func lastStableOffset(_ partition: TopicPartition) -> Int64 {
        open.values.compactMap { $0.firstOffsets[partition] }.min() ?? Int64(logs[partition, default: []].count)
    }

    private func isVisible(_ entry: Entry, _ isolation: IsolationLevel) -> Bool {
        if entry.isMarker { return false }
        return isolation == .readUncommitted || entry.transaction.map { !aborted.contains($0) } ?? true
    }

    private mutating func poll(_ number: Int) {
        let consumer = consumers[number]
        var records: [Record] = []
        for (partition, position) in consumer.positions.sorted(by: { $0.key < $1.key }) {
            let log = logs[partition, default: []]
            let end = consumer.isolation == .readCommitted ? lastStableOffset(partition) : Int64(log.count)
            var left = Int.random(in: 0...8, using: &random)
            for offset in stride(from: position, to: end, by: 1) where left > 0 {
                left -= 1
                let entry = log[Int(offset)]
                if isVisible(entry, consumer.isolation) {
                    records.append(Record(partition, offset: offset, value: entry.value))
                }
                consumers[number].positions[partition] = offset + 1
            }
        }
        record(consumer.process, .poll(Poll(consumer.isolation, records)))
    }

    // MARK: Offsets

    private mutating func commit(_ number: Int, in producer: String? = nil) {
        let consumer = consumers[number]
        guard let (partition, offset) = consumer.positions.sorted(by: { $0.key < $1.key }).randomElement(using: &random)
        else { return }
        let isDone = chance(85)
        let outcome: OffsetCommit.Outcome =
            isDone ? chance(90) ? .acknowledged : .unknown : chance(50) ? .refused : .unknown
        let transaction = producer.map { open[$0]!.number }
        record(
            consumer.process,
            .offsetCommit(
                OffsetCommit(consumer.group, partition, offset: offset, transaction: transaction, outcome)))
        guard isDone else { return }
        let place = Place(group: consumer.group, partition: partition)
        if let producer { open[producer]!.offsets[place] = offset } else { committed[place] = offset }
    }

    private mutating func fetchOffset(_ number: Int, isFinal: Bool) {
        let consumer = consumers[number]
        for partition in partitions {
            let place = Place(group: consumer.group, partition: partition)
            let isStable = consumer.isolation == .readCommitted
            // The broker has such a fetch wait.
            if isStable, open.values.contains(where: { $0.offsets[place] != nil }) { continue }
            record(
                consumer.process,
                .offsetFetch(
                    OffsetFetch(
                        consumer.group, partition, offset: committed[place], requiresStable: isStable, isFinal: isFinal)
                ))
        }
    }

    private mutating func move(_ number: Int) {
        let partition = partitions.randomElement(using: &random)!
        if chance(30), let position = consumers[number].positions[partition] {
            let target = Int64.random(in: 0...position, using: &random)
            consumers[number].positions[partition] = target
            record(consumers[number].process, .position(.set(partition, offset: target)))
        } else if consumers[number].positions[partition] != nil {
            consumers[number].positions[partition] = nil
            record(consumers[number].process, .position(.revoked([partition])))
        } else {
            assign(partition, to: number)
        }
    }

    private mutating func assign(_ partition: TopicPartition, to number: Int) {
        let start = committed[Place(group: consumers[number].group, partition: partition)] ?? 0
        consumers[number].positions[partition] = start
        record(consumers[number].process, .position(.assigned([partition])))
        if chance(70) { record(consumers[number].process, .position(.set(partition, offset: start))) }
    }

    // MARK: The end

    private mutating func finish() -> History {
        for process in open.keys.sorted() { end(process) }
        clock = max(clock, busyUntil.values.max() ?? 0) + 1
        for number in [0, 2, 3] { fetchOffset(number, isFinal: true) }
        for partition in partitions {
            let log = logs[partition, default: []]
            let entries = log.enumerated().filter { isVisible($1, .readCommitted) }.map {
                FinalRead.Entry(offset: Int64($0), value: $1.value)
            }
            let half = entries.count / 2
            let end = Int64(log.count)
            record("reader", .finalRead(FinalRead(partition, Array(entries[..<half]))))
            record("reader", .finalRead(FinalRead(partition, Array(entries[half...]), endOffset: end)))
        }
        if chance(75) {
            // As a recorder of many clients writes: at completion.
            let order = events.indices.sorted { (events[$0].time!.completed, $0) < (events[$1].time!.completed, $1) }
            return History(order.map { events[$0] })
        }
        let order = events.indices.sorted { (events[$0].time!.invoked, $0) < (events[$1].time!.invoked, $1) }
        return History(order.map { Event(process: events[$0].process, events[$0].operation) })
    }
}
