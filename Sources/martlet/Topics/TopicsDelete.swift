import ArgumentParser
import MartletClient

struct TopicsDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete topics with all their records.",
        discussion: """
            There is no way back.

              martlet topics delete orders orders-retry
            """)

    @Argument(help: "Topics.")
    var names: [String]

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let deleted = try await connection.withCluster { cluster in
            try await Admin(cluster: cluster).deleteTopics(names)
        }
        let results = names.map { (name: $0, failure: deleted[$0]?.failure) }
        if output.json {
            print(
                JSONValue.array(
                    results.map { result in
                        .object([
                            .init("name", .string(result.name)), .init("deleted", .bool(result.failure == nil)),
                            .init("error", .optional(result.failure?.description)),
                        ])
                    }
                ).documentText)
        } else {
            for result in results where result.failure == nil { print("Deleted topic \(result.name).") }
        }
        let failures = results.compactMap(\.failure)
        for failure in failures { Failure.report("\(failure)") }
        if !failures.isEmpty { throw ExitCode.failure }
    }
}
