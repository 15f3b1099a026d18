import MartletClient
import Synchronization

/// Sends a few values to random partitions and waits for their deliveries beside. Nothing that a broker does may make
/// one of them fail.
final class IdempotentWriter: LoadClient {
    let common: LoadContext
    let pause: Duration

    init(_ common: LoadContext, pause: Duration) {
        self.common = common
        self.pause = pause
    }

    func run() async throws {
        let producer = try Producer(configuration: try common.connecting.producer())
        try await withThrowingDiscardingTaskGroup { deliveries in
            while !common.isStopping {
                for _ in 0..<common.draw({ Int.random(in: 1...6, using: &$0) }) {
                    let (number, record) = try nextRecord(common, process: common.name)
                    let delivery = try await producer.enqueueWaiting(record)
                    deliveries.addTask { [common] in
                        let metadata = try await delivery.metadata
                        try common.recorder.answered(number, .acknowledged, offset: metadata.offset)
                        // It gets on when it is told so.
                        common.note { $0.rounds += 1 }
                    }
                }
                try await Task.sleep(for: pause)
            }
        }
        await producer.close()
    }
}

/// What is asked for, and the record that asks for it.
private func nextRecord(
    _ common: LoadContext, process: String, transaction: Int? = nil
) throws -> (number: Int, record: ProducerRecord) {
    let partition = common.draw { common.partitions.randomElement(using: &$0)! }
    common.note { $0.sent += 1 }
    let value = "\(process):\(common.progress.sent)"
    var event = common.event("send", process, partition)
    event.value = value
    event.transaction = transaction
    return (
        try common.recorder.ask(event),
        ProducerRecord(topic: common.topic, partition: partition, value: Array(value.utf8))
    )
}

/// Transactions of random outcome. One may be aborted though its commit was asked for; then the next goes on.
final class TransactionalWriter: LoadClient {
    private struct OnPurpose: Error {}

    let common: LoadContext
    private static let numbers = Atomic(0)

    init(_ common: LoadContext) {
        self.common = common
    }

    func run() async throws {
        var configuration = try common.connecting.producer()
        configuration.transactionalId = common.name
        let producer = try Producer(configuration: configuration)
        try await producer.initializeTransactions()
        while !common.isStopping {
            try await once(producer)
            common.note { $0.rounds += 1 }
        }
        await producer.close()
    }

    private func once(_ producer: Producer) async throws {
        let transaction = Self.numbers.add(1, ordering: .relaxed).newValue
        let isCommit = common.draw { Double.random(in: 0..<1, using: &$0) < 0.6 }
        var end = HistoryEvent("transaction-end", common.name)
        end.transaction = transaction
        let asked = Mutex<Int?>(nil)
        do {
            try await producer.withTransaction { open in
                var deliveries: [(number: Int, delivery: Delivery)] = []
                for _ in 0..<common.draw({ Int.random(in: 1...3, using: &$0) }) {
                    for _ in 0..<common.draw({ Int.random(in: 1...6, using: &$0) }) {
                        let (number, record) = try nextRecord(common, process: common.name, transaction: transaction)
                        deliveries.append((number, try await open.enqueueWaiting(record)))
                    }
                    try await Task.sleep(for: common.draw { .random(in: 0...0.02, using: &$0) })
                }
                // Else an abort finds much that was never sent, and a commit sends it first.
                if common.draw({ Bool.random(using: &$0) }) {
                    for (number, delivery) in deliveries {
                        try common.recorder.answered(number, .acknowledged, offset: try await delivery.metadata.offset)
                    }
                    deliveries = []
                }
                let number = try common.recorder.ask(end)
                asked.withLock { $0 = number }
                guard isCommit else { throw OnPurpose() }
            }
            try common.recorder.answered(asked.withLock { $0! }, .committed)
            common.note { $0.committed += 1 }
        } catch is OnPurpose {
            try common.recorder.answered(asked.withLock { $0! }, .aborted)
            common.note { $0.aborted += 1 }
        } catch let error as ClientError
            where !error.isFatal && (error.code == .transactionAborted || asked.withLock { $0 } == nil)
        {
            try common.recorder.answered(try asked.withLock { $0 } ?? common.recorder.ask(end), .aborted)
            common.note { progress in
                progress.refused += 1
                progress.refusal = "\(error.code): \(error)"
            }
        }
    }
}
