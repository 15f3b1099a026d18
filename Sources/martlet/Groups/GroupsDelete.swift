import ArgumentParser
import MartletClient

struct GroupsDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete groups and the offsets they committed.",
        discussion: """
            A group with members cannot be deleted: stop its consumers first.

              martlet groups delete billing
            """)

    @Argument(help: "Groups.")
    var groups: [String]

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let results = try await connection.withCluster { cluster in
            let deleted = try await Admin(cluster: cluster).deleteGroups(groups)
            return groups.map { (group: $0, failure: deleted[$0]?.failure) }
        }
        if output.json {
            print(
                JSONValue.array(
                    results.map { result in
                        .object([
                            .init("group", .string(result.group)), .init("deleted", .bool(result.failure == nil)),
                            .init("error", .optional(result.failure?.description)),
                        ])
                    }
                ).documentText)
        } else {
            for result in results where result.failure == nil { print("Deleted group \(result.group).") }
        }
        let failures = results.compactMap(\.failure)
        for failure in failures { Failure.report("\(failure)") }
        if !failures.isEmpty { throw ExitCode.failure }
    }
}
