import ArgumentParser
import MartletClient

struct GroupsDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a group's state, its members and how far it has read.",
        discussion: """
            LAG is how many offsets are between what the group has committed and the partition's end.

              martlet groups describe billing
            """)

    @Argument(help: "The group.")
    var group: String

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let (described, partitions) = try await connection.withCluster { cluster in
            let administrator = Admin(cluster: cluster)
            let described = try await administrator.describeGroup(group)
            return (described, try await GroupProgress.read(described, administrator))
        }
        if output.json {
            print(json(described, partitions).text)
        } else {
            print(text(described, partitions), terminator: "")
        }
    }

    private func json(_ group: DescribedGroup, _ partitions: [GroupProgress]) -> JSONValue {
        .object([
            .init("group", .string(group.id)), .init("state", .string(group.state)),
            .init("type", .string(group.type)), .init("assignor", .string(group.assignor)),
            .init(
                "members",
                .array(
                    group.members.map { member in
                        .object([
                            .init("id", .string(member.id)), .init("instanceId", .optional(member.instanceId)),
                            .init("clientId", .string(member.clientId)), .init("host", .string(member.host)),
                            .init(
                                "partitions",
                                .array(
                                    member.partitions.map { partition in
                                        .object([
                                            .init("topic", .string(partition.topic)),
                                            .init("partition", .number(partition.partition)),
                                        ])
                                    })),
                        ])
                    })),
            .init(
                "offsets",
                .array(
                    partitions.map { entry in
                        .object([
                            .init("topic", .string(entry.partition.topic)),
                            .init("partition", .number(entry.partition.partition)),
                            .init("committed", .optional(entry.committed)), .init("end", .optional(entry.end)),
                            .init("lag", .optional(entry.lag)), .init("member", .optional(entry.memberId)),
                        ])
                    })),
        ])
    }

    private func text(_ group: DescribedGroup, _ partitions: [GroupProgress]) -> String {
        var text = "Group: \(group.id)\nState: \(group.state)\nType: \(group.type)\n"
        if !group.assignor.isEmpty { text += "Assignor: \(group.assignor)\n" }
        text += "Members: \(group.members.count)\n"
        let styled = Terminal.usesColour
        if !group.members.isEmpty {
            text += TextTable(
                [.text("MEMBER"), .text("CLIENT"), .text("HOST"), .number("PARTITIONS")],
                group.members.map { [$0.instanceId ?? $0.id, $0.clientId, $0.host, "\($0.partitions.count)"] }
            ).render(styled: styled)
        }
        if !partitions.isEmpty {
            text += "\n"
            text += TextTable(
                [
                    .text("TOPIC"), .number("PARTITION"), .number("COMMITTED"), .number("END"), .number("LAG"),
                    .text("MEMBER"),
                ],
                partitions.map { entry in
                    [
                        entry.partition.topic, "\(entry.partition.partition)",
                        entry.committed.map { "\($0)" } ?? "-", entry.end.map { "\($0)" } ?? "-",
                        entry.lag.map { "\($0)" } ?? "-", entry.memberId ?? "-",
                    ]
                }
            ).render(styled: styled)
        }
        return text
    }
}
