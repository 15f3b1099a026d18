import ArgumentParser

struct TransactionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transactions",
        abstract: "List and describe transactions, find and abort those that hang.",
        discussion: """
            A producer with a transactional.id writes to several partitions at once, or not at all. Consumers with
            isolation.level=read_committed wait at records whose transaction is open. A transaction that its coordinator
            no longer knows would stop them for ever:

              martlet transactions find-hanging
              martlet transactions abort --topic orders --partition 3 --start-offset 1200
            """,
        subcommands: [
            TransactionsList.self, TransactionsDescribe.self, TransactionsProducers.self,
            TransactionsFindHanging.self, TransactionsAbort.self,
        ])
}
