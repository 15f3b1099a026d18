import ArgumentParser

struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Look into the files of a data directory.",
        discussion: """
              martlet log dump data/orders-0/00000000000000000000.log --records
            """,
        subcommands: [LogDump.self])
}
