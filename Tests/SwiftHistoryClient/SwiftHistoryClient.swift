import ArgumentParser

/// The Swift client for the suite of clients (`Tests/Clients`): its modes do what the suite's Python clients do.
@main
struct SwiftHistoryClient: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swift-history-client",
        abstract: "Swift clients that record what they do and are told (Tests/HistoryChecker/README.md).",
        subcommands: [
            LoadCommand.self, TransformCommand.self, MemberCommand.self, ReadCommand.self, WriteCommand.self,
            MoveCommand.self,
        ])
}
