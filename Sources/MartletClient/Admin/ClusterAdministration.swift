import KafkaProtocol

extension Administrator {
    /// How many records a broker's replicas know that they lack (the offset lag of DescribeLogDirs, summed up).
    package func replicaLag(of nodeId: Int32) async throws(ClientError) -> Int64 {
        let response = try await cluster.call(DescribeLogDirsRequest(), .node(nodeId)) { _ in nil }
        return response.results.reduce(0) { sum, directory in
            sum + directory.topics.reduce(0) { $0 + $1.partitions.reduce(0) { $0 + max(0, $1.offsetLag) } }
        }
    }
}
