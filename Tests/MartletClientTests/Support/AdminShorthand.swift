@testable import MartletClient

extension Admin {
    /// A topic in one line.
    @discardableResult
    func createTopic(
        _ name: String, partitions: Int32?, replicationFactor: Int16?, configuration: [(String, String)]
    ) async throws(ClientError) -> CreatedTopic {
        try await createTopic(
            NewTopic(
                name, partitionCount: partitions, replicationFactor: replicationFactor,
                configuration: Dictionary(configuration) { $1 }))
    }
}

extension Admin {
    func createPartitions(_ name: String, count: Int32) async throws {
        try await createPartitions([name: count])[name]?.get()
    }

    func deleteGroup(_ id: String) async throws {
        try await deleteGroups([id])[id]?.get()
    }
}
