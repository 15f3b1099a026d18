import ArgumentParser
import Foundation
import Logging
import MartletClient

struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume",
        abstract: "Print a topic's records, one a line.",
        discussion: """
            Starts at the end and waits for new records until Ctrl-C, unless told otherwise:

              martlet consume greetings
              martlet consume greetings --from-beginning --exit
              martlet consume greetings --partition 0 --offset 100 -n 10 --print-offset
              martlet consume greetings --from-time 2026-05-01T00:00:00Z --json
              martlet consume greetings --group readers

            With --group the group's members share the partitions and go on where the group has committed; a group \
            that is new starts at the end, or with --from-beginning at the beginning. A value that is null is printed \
            as null; --json tells it from the text, and prints bytes that are not UTF-8 as keyBase64 and valueBase64.
            """)

    @Argument(help: "The topic.")
    var topic: String

    @Flag(help: "Start with the first record that is there.")
    var fromBeginning = false

    @Option(name: .shortAndLong, help: "Start at an offset; below zero, so many before the end (--offset=-10).")
    var offset: Int64?

    @Option(help: ArgumentHelp("Start with the first record at or after a time.", valueName: "time|ms"))
    var fromTime: PointInTime?

    @Option(name: .shortAndLong, help: "One partition; may be repeated. Without it all.")
    var partition: [Int32] = []

    @Option(name: .shortAndLong, help: "Consume as a member of a group, and commit.")
    var group: String?

    @Option(name: [.customShort("n"), .long], help: "Stop after so many records.")
    var maxMessages: Int?

    @Flag(name: .shortAndLong, help: "Stop at the end the partitions had when the command began.")
    var exit = false

    @Flag(help: "Print keys.")
    var printKey = false

    @Flag(help: "Print headers, name=value,…")
    var printHeaders = false

    @Flag(help: "Print timestamps, in milliseconds since the epoch.")
    var printTimestamp = false

    @Flag(help: "Print partition:offset.")
    var printOffset = false

    @Option(help: ArgumentHelp("What stands between the printed fields. (default: a tab)", valueName: "text"))
    var keySeparator: Separator?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    @Option(help: "Which records of transactions: read_uncommitted, or read_committed without those of aborted ones.")
    var isolationLevel: IsolationLevel = .uncommitted

    @OptionGroup var connection: ConnectionOptions

    enum IsolationLevel: String, ExpressibleByArgument, CaseIterable {
        case uncommitted = "read_uncommitted"
        case committed = "read_committed"
    }

    func validate() throws {
        let starts = [fromBeginning, offset != nil, fromTime != nil].filter(\.self).count
        if starts > 1 { throw ValidationError("Say one of --from-beginning, --offset and --from-time") }
        if group != nil && (offset != nil || fromTime != nil || !partition.isEmpty) {
            throw ValidationError(
                "A group decides partitions and offsets: leave --partition, --offset and --from-time out, "
                    + "or move the group with 'martlet groups reset-offsets'")
        }
        if let maxMessages, maxMessages < 1 { throw ValidationError("--max-messages must be at least 1") }
        if partition.contains(where: { $0 < 0 }) { throw ValidationError("--partition must be at least 0") }
    }

    func run() async throws {
        let command = self
        try await Interruption.cancelling {
            try await command.connection.withCluster { cluster in
                do {
                    if let group = command.group {
                        try await command.consume(cluster, group: group)
                    } else {
                        try await command.consume(cluster)
                    }
                } catch is OutputClosed {
                    // The reader of the pipe has seen enough.
                } catch let error as ClientError where error.code == .cancelled {
                    // Ctrl-C is how this command ends.
                }
            }
        }
    }

    private var printer: RecordPrinter {
        var printer = RecordPrinter()
        printer.printsKey = printKey
        printer.printsHeaders = printHeaders
        printer.printsTimestamp = printTimestamp
        printer.printsOffset = printOffset
        printer.isJSON = json
        if let keySeparator { printer.separator = keySeparator.bytes }
        return printer
    }

    private func consumer(
        _ cluster: Cluster, _ change: (inout ConsumerConfiguration) -> Void
    ) throws -> Consumer {
        var configuration = ConsumerConfiguration(bootstrapServers: cluster.bootstrap)
        configuration.isolationLevel = isolationLevel == .committed ? .readCommitted : .readUncommitted
        change(&configuration)
        var logger = Logger(label: "martlet.consume")
        logger.logLevel = .warning
        return try Consumer(cluster: cluster, configuration: configuration, logger: logger)
    }

    /// How long to wait for records before looking whether positions have passed what is not shown.
    private static let look = Duration.milliseconds(200)

    // MARK: Without a group

    private func consume(_ cluster: Cluster) async throws {
        let administrator = Admin(cluster: cluster)
        let partitions = try await chosenPartitions(cluster)
        let ends = try await administrator.offsets(of: partitions, at: .latest).mapValues(\.offset)
        let starts = try await startOffsets(administrator, partitions, ends)
        var remaining = exit ? ends.filter { starts[$0.key, default: 0] < $0.value } : ends
        if exit && remaining.isEmpty { return }
        let consumer = try consumer(cluster) {
            // A start that was named outright must be there; otherwise retention may overtake a slow reader.
            $0.offsetReset = offset == nil ? .earliest : .none
        }
        let chosen = exit ? starts.filter { remaining[$0.key] != nil } : starts
        try consumer.assign(chosen.mapValues { .offset($0) })
        do {
            try await print(consumer, ends, &remaining)
        } catch {
            await consumer.close()
            throw error
        }
        await consumer.close()
    }

    private func print(
        _ consumer: Consumer, _ ends: [TopicPartition: Int64], _ remaining: inout [TopicPartition: Int64]
    ) async throws {
        var session = ConsumeSession(printer: printer, limit: maxMessages)
        while true {
            for batch in try await consumer.nextBatches(timeout: Self.look) {
                _ = try session.print(batch, upTo: exit ? ends[batch.topicPartition] : nil)
                if session.isDone { return try session.output.flush() }
            }
            try session.output.flush()
            guard exit else { continue }
            let positions = consumer.positions
            remaining = remaining.filter { partition, end in positions[partition].map { $0.offset < end } ?? true }
            if remaining.isEmpty { return }
        }
    }

    private func chosenPartitions(_ cluster: Cluster) async throws -> [TopicPartition] {
        let known = try await cluster.topic(topic, refresh: true).partitions.map(\.index)
        for index in partition where !known.contains(index) {
            throw CommandFailure("topic '\(topic)' has no partition \(index); it has \(known.count), numbered from 0")
        }
        return (partition.isEmpty ? known : Set(partition).sorted()).map { TopicPartition(topic, $0) }
    }

    private func startOffsets(
        _ administrator: Admin, _ partitions: [TopicPartition], _ ends: [TopicPartition: Int64]
    ) async throws -> [TopicPartition: Int64] {
        if fromBeginning {
            return try await administrator.offsets(of: partitions, at: .earliest).mapValues(\.offset)
        }
        if let fromTime {
            let found = try await administrator.offsets(of: partitions, at: .timestamp(fromTime.milliseconds))
            return Dictionary(
                uniqueKeysWithValues: ends.map { partition, end in
                    (
                        partition,
                        OffsetReset.timestamp(0).newOffset(
                            committed: nil, earliest: 0, latest: end, found: found[partition]?.offset) ?? end
                    )
                })
        }
        if let offset {
            if offset >= 0 { return ends.mapValues { _ in offset } }
            let first = try await administrator.offsets(of: partitions, at: .earliest)
            return Dictionary(
                uniqueKeysWithValues: ends.map { partition, end in
                    (
                        partition,
                        OffsetReset.shift(offset).newOffset(
                            committed: end, earliest: first[partition]?.offset ?? 0, latest: end) ?? end
                    )
                })
        }
        return ends
    }

    // MARK: With a group

    private func consume(_ cluster: Cluster, group: String) async throws {
        _ = try await cluster.topic(topic, refresh: true)
        let consumer = try consumer(cluster) {
            $0.groupId = group
            $0.offsetReset = fromBeginning ? .earliest : .latest
        }
        try consumer.subscribe(to: [topic])
        do {
            try await consumeAsMember(consumer)
        } catch {
            await consumer.close()
            throw error
        }
        await consumer.close()
    }

    private func consumeAsMember(_ consumer: Consumer) async throws {
        var session = ConsumeSession(printer: printer, limit: maxMessages)
        var ends: [TopicPartition: Int64] = [:]
        var firstLook: ContinuousClock.Instant?
        while true {
            let batches = try await consumer.nextBatches(timeout: Self.look)
            if exit {
                // Partitions may have come and gone with other members.
                let new = consumer.assignment.filter { ends[$0] == nil }
                if !new.isEmpty { ends.merge(try await consumer.endOffsets(of: new)) { old, _ in old } }
            }
            var done: [TopicPartition: ConsumedOffset] = [:]
            for batch in batches {
                let next = try session.print(batch, upTo: exit ? ends[batch.topicPartition] : nil)
                done[batch.topicPartition] = ConsumedOffset(next, leaderEpoch: batch.leaderEpoch)
                if session.isDone { break }
            }
            try session.output.flush()
            // Only what has been written counts as consumed, which is what the next call says.
            if session.isDone { return try await consumer.commit(done) }
            guard exit else { continue }
            let (assignment, positions) = (consumer.assignment, consumer.positions)
            if assignment.isEmpty {
                // There may be more members than partitions.
                guard try consumer.groupMetadata.generation >= 0 else { continue }
                let since = firstLook ?? .now
                firstLook = since
                if ContinuousClock.now - since > .seconds(2) { return }
            } else if assignment.allSatisfy({ (positions[$0]?.offset ?? -1) >= ends[$0] ?? .max }) {
                if !done.isEmpty { try await consumer.commit(done) }
                return
            }
        }
    }
}
