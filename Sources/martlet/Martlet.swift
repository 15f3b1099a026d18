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
            """,
        version: martletVersion,
        subcommands: [ServerCommand.self])
}

let martletVersion = "0.1.0"
