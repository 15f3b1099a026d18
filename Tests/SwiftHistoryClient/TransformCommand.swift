import ArgumentParser
import Foundation
import MartletClient
import Synchronization

struct TransformCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transform",
        abstract: "A worker of consume, transform, produce, as Tests/Clients/transform_worker.py is.",
        discussion: """
            What can be aborted is aborted and read again from the committed offsets; what is fatal ends the process with 3,
            and whoever started it starts another. SIGTERM ends it with 0.
            """)

    @OptionGroup var connecting: Connecting
    @Option var source: String
    @Option var sink: String
    @Option var group: String
    @Option(help: "The transactional id; one that ends with -static is the member's group.instance.id too.")
    var id: String
    @Option(name: .customLong("protocol"), help: "How it takes part in the group.") var membership: Membership
    @Option(help: "The worker's number, unique among all of the test.") var number: Int
    @Option(help: "The history's file.") var history: String

    func run() async throws {
        Termination.listen()
        connecting.startLogging()
        do {
            try await Worker(self).run()
        } catch let error as ClientError {
            try FileHandle.standardError.write(contentsOf: Data("worker \(number): \(error) \(error.code)\n".utf8))
            throw ExitCode(error.isFatal ? 3 : 1)
        }
    }
}

/// A producer and a consumer, until SIGTERM or the first fatal error.
private final class Worker {
    private static let outputs: Int32 = 4

    private let command: TransformCommand
    private let recorder: HistoryRecorder
    private let producing: String
    private let consuming: String
    private let producer: Producer
    private let consumer: Consumer
    private var transactions = 0

    init(_ command: TransformCommand) throws {
        self.command = command
        producing = "producer-\(command.number)"
        consuming = "consumer-\(command.number)"
        recorder = try HistoryRecorder(path: command.history)
        var configuration = try command.connecting.producer()
        configuration.transactionalId = command.id
        configuration.transactionTimeout = .seconds(10)
        producer = try Producer(configuration: configuration)
        var consumption = try command.connecting.consumer(group: command.group)
        command.membership.apply(to: &consumption)
        consumption.sessionTimeout = .seconds(2)
        consumption.isolationLevel = .readCommitted
        if command.id.hasSuffix("-static") { consumption.groupInstanceId = command.id }
        consumption.rebalanceListener = Listening { [recorder, consuming] kind, partitions in
            Self.tell(recorder, consuming, kind == .assigned ? "assigned" : "revoked", partitions)
        }
        consumer = try Consumer(configuration: consumption)
    }

    private static func tell(
        _ recorder: HistoryRecorder, _ process: String, _ kind: String, _ partitions: some Sequence<TopicPartition>
    ) {
        var event = HistoryEvent(kind, process)
        event.partitions = partitions.map(Place.init)
        do {
            try recorder.saw(event)
        } catch {
            fatalError("the history cannot be written: \(error)")
        }
    }

    func run() async throws {
        try await producer.initializeTransactions()
        try consumer.subscribe(to: [command.source])
        while !Termination.isAsked {
            let since = HistoryRecorder.now()
            let batches = try await consumer.nextBatches(limit: 4, timeout: .milliseconds(50))
            guard !batches.isEmpty else { continue }
            var event = HistoryEvent("poll", consuming)
            event.isolation = "read_committed"
            event.records = batches.flatMap { $0 }.map {
                SeenRecord(topic: $0.topic, partition: $0.partition, offset: $0.offset, value: $0.value?.string ?? "")
            }
            try recorder.saw(event, since: since)
            try await transform(batches)
        }
        await producer.close()
        await consumer.close()
    }

    private func transform(_ batches: [ConsumerBatch]) async throws {
        transactions += 1
        let transaction = command.number * 1_000_000 + transactions
        var end = HistoryEvent("transaction-end", producing)
        end.transaction = transaction
        var asked: Int?
        do {
            try await producer.withTransaction { open in
                try await send(batches, open, transaction)
                // In the middle of each transaction, so that kills come there.
                try await Task.sleep(for: .milliseconds(20))
                try await commit(batches, open, transaction)
                asked = try recorder.ask(end)
            }
            try recorder.answered(asked!, .committed)
        } catch let error as ClientError where !error.isFatal && (error.isRetriable || asked == nil) {
            // Aborted for certain, as whatever has failed before the commit, or by a commit of which nobody knows.
            let isKnown = asked == nil || error.code == .transactionAborted
            try recorder.answered(try asked ?? recorder.ask(end), isKnown ? .aborted : .unknown)
            // What was read comes again from the last committed offsets.
            let assigned = consumer.assignment
            try consumer.seek(assigned, to: .committed)
            Self.tell(recorder, consuming, "assigned", assigned)
        }
    }

    private struct Output: Encodable {
        let partition: Int32
        let offset: Int64
        let value: String
        /// Each attempt's value is another.
        let attempt: Int
    }

    private func send(_ batches: [ConsumerBatch], _ open: Transaction, _ transaction: Int) async throws {
        var deliveries: [(number: Int, delivery: Delivery)] = []
        for record in batches.lazy.flatMap({ $0 }) {
            let output = Output(
                partition: record.partition, offset: record.offset, value: record.value?.string ?? "",
                attempt: transaction)
            let value = try JSONEncoder().encode(output)
            let partition = Int32((Int64(record.partition) + record.offset) % Int64(Self.outputs))
            var event = HistoryEvent("send", producing, TopicPartition(command.sink, partition))
            event.transaction = transaction
            event.value = String(decoding: value, as: UTF8.self)
            let number = try recorder.ask(event)
            let delivery = try await open.enqueueWaiting(
                ProducerRecord(topic: command.sink, partition: partition, value: Array(value)))
            deliveries.append((number, delivery))
        }
        for (number, delivery) in deliveries {
            try recorder.answered(number, .acknowledged, offset: try await delivery.metadata.offset)
        }
    }

    private func commit(_ batches: [ConsumerBatch], _ open: Transaction, _ transaction: Int) async throws {
        let offsets = Dictionary(batches.map { ($0.topicPartition, $0.consumedOffset) }) { $1 }
        let numbers = try offsets.map { place, consumed in
            var event = HistoryEvent("offset-commit", consuming, place)
            event.group = command.group
            event.transaction = transaction
            event.offset = consumed.offset
            return try recorder.ask(event)
        }
        try await open.sendOffsets(offsets, for: consumer.groupMetadata)
        for number in numbers { try recorder.answered(number, .acknowledged) }
    }
}
