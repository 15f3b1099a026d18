import ArgumentParser

struct GroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "groups",
        abstract: "List, describe, reset and delete groups of consumers.",
        discussion: """
            The consumers of a group share a topic's partitions, and the group remembers how far it has read:

              martlet consume orders --group billing
              martlet groups describe billing
              martlet groups reset-offsets billing --topic orders --to-earliest --execute
            """,
        subcommands: [GroupsList.self, GroupsDescribe.self, GroupsResetOffsets.self, GroupsDelete.self])
}
