import ArgumentParser
import Foundation
import KafkaProtocol
import MartletClient

struct GroupsResetOffsets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset-offsets",
        abstract: "Move a group to another place in its topics.",
        discussion: """
            Shows what would change; --execute does it. The group must have no members. Offsets outside of what a \
            partition holds become its beginning or end.

              martlet groups reset-offsets billing --topic orders --to-earliest
              martlet groups reset-offsets billing --topic orders:0 --to-datetime 2026-05-01
              martlet groups reset-offsets billing --all-topics --by-duration PT1H
              martlet groups reset-offsets billing --topic orders --shift-by=-100
            """)

    @Argument(help: "The group.")
    var group: String

    @Option(help: ArgumentHelp("A topic, all or some partitions of it; may be repeated.", valueName: "topic[:0,1]"))
    var topic: [TopicSelection] = []

    @Flag(help: "All partitions in which the group has committed.")
    var allTopics = false

    @Flag(help: "To the first record that is there.")
    var toEarliest = false

    @Flag(help: "To the end.")
    var toLatest = false

    @Option(help: ArgumentHelp("To an offset.", valueName: "offset"))
    var toOffset: Int64?

    @Option(help: ArgumentHelp("To the first record at or after a time.", valueName: "time"))
    var toDatetime: PointInTime?

    @Option(help: ArgumentHelp("To the first record of the last hour (PT1H), day (P1D), …", valueName: "span"))
    var byDuration: TimeSpan?

    @Option(help: ArgumentHelp("Forward by a number of offsets, or back with --shift-by=-N.", valueName: "n"))
    var shiftBy: Int64?

    @Flag(help: "Do it; without this nothing is changed.")
    var execute = false

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard allTopics != !topic.isEmpty else { throw ValidationError("Say either --topic or --all-topics") }
        _ = try reset(now: 0)
    }

    /// What was asked for; `now` is in milliseconds since the epoch.
    func reset(now: Int64) throws -> OffsetReset {
        var resets: [OffsetReset] = []
        if toEarliest { resets.append(.earliest) }
        if toLatest { resets.append(.latest) }
        if let toOffset { resets.append(.offset(toOffset)) }
        if let toDatetime { resets.append(.timestamp(toDatetime.milliseconds)) }
        if let byDuration { resets.append(.timestamp(max(0, now - byDuration.milliseconds))) }
        if let shiftBy { resets.append(.shift(shiftBy)) }
        guard resets.count == 1 else {
            throw ValidationError(
                "Say one of --to-earliest, --to-latest, --to-offset, --to-datetime, --by-duration and --shift-by")
        }
        return resets[0]
    }

    func run() async throws {
        let reset = try reset(now: Int64(Date().timeIntervalSince1970 * 1000))
        let changes = try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            try await checkThatNobodyReads(administrator)
            let changes = try await plan(reset, administrator)
            if execute {
                let offsets = changes.map { ($0.partition, ConsumedOffset($0.new)) }
                let results = try await administrator.alterOffsets(
                    Dictionary(uniqueKeysWithValues: offsets), of: group)
                for result in results.values { try result.get() }
            }
            return changes
        }
        report(changes)
    }

    private func checkThatNobodyReads(_ administrator: Admin) async throws {
        do {
            let described = try await administrator.describeGroup(group)
            guard described.members.isEmpty else {
                throw CommandFailure(
                    "group '\(group)' has \(described.members.count) member(s); stop its consumers first")
            }
        } catch let error as ClientError where error.protocolCode == .groupIdNotFound {
            // Offsets may be set before the group's first consumer comes.
            if allTopics { throw error }
        }
    }

    private func plan(_ reset: OffsetReset, _ administrator: Admin) async throws -> [OffsetChange] {
        let committed = try await administrator.committedOffsets(of: group)
        var partitions: [TopicPartition] = []
        for selection in topic {
            let known = try await administrator.cluster.topic(selection.topic, refresh: true).partitions.map(\.index)
            for index in selection.partitions ?? known {
                guard known.contains(index) else {
                    throw CommandFailure(
                        "topic '\(selection.topic)' has no partition \(index); it has \(known.count), from 0")
                }
                partitions.append(TopicPartition(selection.topic, index))
            }
        }
        if allTopics { partitions = Array(committed.keys) }
        partitions = Set(partitions).sorted()
        let earliest = try await administrator.offsets(of: partitions, at: .earliest)
        let latest = try await administrator.offsets(of: partitions, at: .latest)
        var found: [TopicPartition: ListedOffset] = [:]
        if case .timestamp(let milliseconds) = reset {
            found = try await administrator.offsets(of: partitions, at: .timestamp(milliseconds))
        }
        return try partitions.map { partition in
            let old = committed[partition]?.offset
            guard
                let new = reset.newOffset(
                    committed: old, earliest: earliest[partition]?.offset ?? 0,
                    latest: latest[partition]?.offset ?? 0, found: found[partition]?.offset)
            else {
                throw CommandFailure(
                    "group '\(group)' has committed nothing in \(partition) to shift from; use --to-offset")
            }
            return OffsetChange(partition: partition, old: old, new: new)
        }
    }

    private func report(_ changes: [OffsetChange]) {
        output.print(
            changes.map { change in
                .object([
                    .init("topic", .string(change.partition.topic)),
                    .init("partition", .number(change.partition.partition)), .init("old", .optional(change.old)),
                    .init("new", .number(change.new)), .init("executed", .bool(execute)),
                ])
            },
            table: TextTable(
                [.text("TOPIC"), .number("PARTITION"), .number("OLD"), .number("NEW")],
                changes.map { change in
                    [
                        change.partition.topic, "\(change.partition.partition)", change.old.map { "\($0)" } ?? "-",
                        "\(change.new)",
                    ]
                }),
            none: "The group has committed nothing, so nothing is to be changed.")
        if !execute && !changes.isEmpty { Terminal.note("Nothing was changed; add --execute to do it.") }
    }
}

/// An offset that a group has, or not, and the one that it gets.
struct OffsetChange: Equatable {
    let partition: TopicPartition
    let old: Int64?
    let new: Int64
}
