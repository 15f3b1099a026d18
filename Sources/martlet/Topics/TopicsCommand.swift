import ArgumentParser

struct TopicsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topics",
        abstract: "Create, list, describe, change and delete topics.",
        discussion: """
            A topic is a log of records, divided into partitions:

              martlet topics create orders --partitions 6 --config retention.ms=604800000
              martlet topics describe orders
              martlet topics alter orders --partitions 12
            """,
        subcommands: [
            TopicsCreate.self, TopicsList.self, TopicsDescribe.self, TopicsAlter.self, TopicsDelete.self,
        ])
}
