import ArgumentParser

@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "An event streaming platform that speaks the Kafka protocol.",
        discussion: """
            Start a node in the current folder and try it:

              martlet server --data ./data &
              martlet topics create greetings --partitions 3
              echo "hello" | martlet produce greetings
              martlet consume greetings --from-beginning --exit

            Every client of Apache Kafka can connect to the same address, 127.0.0.1:9092.

            The shell completes commands and options after:

              martlet --generate-completion-script bash > martlet.bash; . ./martlet.bash

            (or zsh, or fish). Commands end with 0 when all is well, 1 after a failure, 64 when called wrongly.
            """,
        version: martletVersion,
        subcommands: [
            ServerCommand.self,
            ClusterCommand.self,
            TopicsCommand.self,
            ProduceCommand.self,
            ConsumeCommand.self,
            GroupsCommand.self,
            TransactionsCommand.self,
            ConfigsCommand.self,
            PerfCommand.self,
            LogCommand.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            Failure.end(with: error)
        }
    }
}

let martletVersion = "0.1.0"
