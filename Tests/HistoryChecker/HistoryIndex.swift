/// A history with its names replaced by small numbers, and what the checks ask of it gathered in one pass.
struct HistoryIndex {
    struct Value {
        let partition: Int
        let id: ValueID
        /// Into `sends`.
        var send: Int?
        /// The first offset in the final read.
        var finalOffset: Int64?
        /// The first offset at which any read showed it.
        var readOffset: Int64?
        var wasReadCommitted = false
    }

    struct IndexedSend {
        let event: Int
        let process: Int
        let value: Int
        let transaction: Int?
        let isIdempotent: Bool
        let outcome: Send.Outcome

        var isAcknowledged: Bool { if case .acknowledged = outcome { true } else { false } }
        var acknowledgedOffset: Int64? { if case .acknowledged(let offset) = outcome { offset } else { nil } }
    }

    struct Transaction {
        let number: Int
        var outcome = TransactionEnd.Outcome.unknown
        /// Ends that asked for a commit, or of unknown outcome.
        var ends: [Int] = []
        var sends: [Int] = []
    }

    struct FinalLog {
        let process: Int
        var endOffset: Int64?
        /// In the order read.
        var entries: [Sighting] = []
    }

    /// A value at an offset.
    struct Sighting {
        let partition: Int
        let offset: Int64
        let value: Int
    }

    /// What moves a consumer through its partitions, in the order of the history.
    enum ConsumerStep {
        case poll(event: Int, process: Int, IsolationLevel, Range<Int>)
        case forget(process: Int, partition: Int)
        case set(process: Int, partition: Int, offset: Int64)
        case commit(event: Int, process: Int, partition: Int, OffsetCommit)
    }

    let events: [Event]
    private(set) var partitions = Interner<TopicPartition>()
    private(set) var processes = Interner<String>()
    private(set) var values: [Value] = []
    private(set) var sends: [IndexedSend] = []
    private(set) var transactions: [Transaction] = []
    private(set) var finals: [FinalLog?] = []
    private(set) var steps: [ConsumerStep] = []
    private(set) var polled: [Sighting] = []
    private(set) var fetches: [(event: Int, OffsetFetch)] = []

    private var valueNumbers: [[ValueID: Int]] = []
    private var transactionNumbers: [Int: Int] = [:]

    init(_ events: [Event]) throws(HistoryError) {
        self.events = events
        for (position, event) in events.enumerated() {
            if let time = event.time, time.completed < time.invoked {
                throw .backwardInterval(process: event.process)
            }
            let process = processes.number(event.process)
            switch event.operation {
            case .send(let send): try add(send, position, process)
            case .transactionEnd(let end): try add(end, position)
            case .poll(let poll): try add(poll, position, process)
            case .position(let mark): add(mark, process)
            case .finalRead(let read): try add(read, process)
            case .offsetCommit(let commit):
                try requireOffset(commit.offset, commit.partition)
                let partition = number(commit.partition)
                steps.append(.commit(event: position, process: process, partition: partition, commit))
            case .offsetFetch(let fetch):
                try requireOffset(fetch.offset ?? 0, fetch.partition)
                _ = number(fetch.partition)
                fetches.append((position, fetch))
            }
        }
    }

    // MARK: Questions

    func name(_ partition: Int) -> TopicPartition { partitions.names[partition] }

    func id(_ value: Int) -> ValueID { values[value].id }

    func process(_ event: Int) -> String { events[event].process }

    func transactionIndex(_ number: Int) -> Int? { transactionNumbers[number] }

    func outcome(of send: IndexedSend) -> TransactionEnd.Outcome? { send.transaction.map { transactions[$0].outcome } }

    /// The final read showed the partition and not the value.
    func isMissing(_ send: IndexedSend) -> Bool {
        values[send.value].finalOffset == nil && finals[values[send.value].partition] != nil
    }

    /// Whether the one was over before the other began.
    func precedes(_ first: Int, _ second: Int) -> Bool {
        if events[first].process == events[second].process { return first < second }
        guard let left = events[first].time, let right = events[second].time else { return false }
        return left.completed < right.invoked
    }

    // MARK: Gathering

    private func requireOffset(_ offset: Int64, _ partition: TopicPartition) throws(HistoryError) {
        // The limit keeps `offset + 1` from overflowing.
        guard offset >= 0, offset < .max else { throw .negativeOffset(partition) }
    }

    private mutating func number(_ partition: TopicPartition) -> Int {
        let number = partitions.number(partition)
        if number == finals.count {
            finals.append(nil)
            valueNumbers.append([:])
        }
        return number
    }

    private mutating func number(_ value: ValueID, in partition: Int) -> Int {
        if let known = valueNumbers[partition][value] { return known }
        valueNumbers[partition][value] = values.count
        values.append(Value(partition: partition, id: value))
        return values.count - 1
    }

    private mutating func transaction(_ number: Int) -> Int {
        if let known = transactionNumbers[number] { return known }
        transactionNumbers[number] = transactions.count
        transactions.append(Transaction(number: number))
        return transactions.count - 1
    }

    private mutating func add(_ send: Send, _ event: Int, _ process: Int) throws(HistoryError) {
        let value = number(send.value, in: number(send.partition))
        guard values[value].send == nil else { throw .sentTwice(send.value, send.partition) }
        if case .acknowledged(let offset?) = send.outcome { try requireOffset(offset, send.partition) }
        let transaction = send.transaction.map { self.transaction($0) }
        values[value].send = sends.count
        if let transaction { transactions[transaction].sends.append(sends.count) }
        sends.append(
            IndexedSend(
                event: event, process: process, value: value, transaction: transaction,
                isIdempotent: send.isIdempotent, outcome: send.outcome))
    }

    private mutating func add(_ end: TransactionEnd, _ event: Int) throws(HistoryError) {
        let index = transaction(end.transaction)
        if end.outcome != .aborted { transactions[index].ends.append(event) }
        guard end.outcome != .unknown else { return }
        let known = transactions[index].outcome
        guard known == .unknown || known == end.outcome else { throw .endedTwice(transaction: end.transaction) }
        transactions[index].outcome = end.outcome
    }

    private mutating func add(_ poll: Poll, _ event: Int, _ process: Int) throws(HistoryError) {
        let start = polled.count
        for record in poll.records {
            try requireOffset(record.offset, record.partition)
            let partition = number(record.partition)
            let value = number(record.value, in: partition)
            if values[value].readOffset == nil { values[value].readOffset = record.offset }
            if poll.isolation == .readCommitted { values[value].wasReadCommitted = true }
            polled.append(Sighting(partition: partition, offset: record.offset, value: value))
        }
        steps.append(.poll(event: event, process: process, poll.isolation, start..<polled.count))
    }

    private mutating func add(_ mark: PositionMark, _ process: Int) {
        switch mark {
        case .assigned(let partitions), .revoked(let partitions):
            for partition in partitions { steps.append(.forget(process: process, partition: number(partition))) }
        case .set(let partition, let offset):
            steps.append(.set(process: process, partition: number(partition), offset: offset))
        }
    }

    private mutating func add(_ read: FinalRead, _ process: Int) throws(HistoryError) {
        let partition = number(read.partition)
        var log = finals[partition] ?? FinalLog(process: process)
        guard log.process == process else { throw .finalReadByTwo(read.partition) }
        finals[partition] = nil
        if let end = read.endOffset { log.endOffset = max(end, log.endOffset ?? end) }
        for entry in read.entries {
            try requireOffset(entry.offset, read.partition)
            let value = number(entry.value, in: partition)
            if values[value].finalOffset == nil { values[value].finalOffset = entry.offset }
            if values[value].readOffset == nil { values[value].readOffset = entry.offset }
            log.entries.append(Sighting(partition: partition, offset: entry.offset, value: value))
        }
        finals[partition] = log
    }
}

/// Gives each name a number, in the order of appearance.
struct Interner<Name: Hashable> {
    private(set) var names: [Name] = []
    private var numbers: [Name: Int] = [:]
    private var last = 0

    mutating func number(_ name: Name) -> Int {
        // Names come in runs.
        if last < names.count, names[last] == name { return last }
        if let known = numbers[name] {
            last = known
        } else {
            last = names.count
            names.append(name)
            numbers[name] = last
        }
        return last
    }
}
