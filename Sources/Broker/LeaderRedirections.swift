import ClusterMetadata
import KafkaProtocol

/// Tells a client that came to the wrong node who leads its partitions, and where, so that it need not ask (KIP-951).
struct LeaderRedirections {
    private var nodes: Set<Int32> = []

    mutating func add(_ topic: Topic, _ partition: Int32, _ broker: Broker) {
        if let leader = broker.cluster.image.leader(of: topic.name, partition), leader >= 0 { nodes.insert(leader) }
    }

    /// The tagged fields of the partition in a Produce reply.
    func leader(_ topic: Topic, _ partition: Int32, _ broker: Broker, version: Int16) -> TaggedFieldsWriter {
        var fields = TaggedFieldsWriter()
        let partitions = broker.cluster.image.topic(named: topic.name)?.partitions ?? []
        guard partitions.indices.contains(Int(partition)), partitions[Int(partition)].leader >= 0 else { return fields }
        var current = ProduceResponse.LeaderIdAndEpoch()
        current.leaderId = partitions[Int(partition)].leader
        current.leaderEpoch = partitions[Int(partition)].leaderEpoch
        var writer = ByteWriter()
        current.encode(to: &writer, version: version)
        fields.append(0, writer)
        return fields
    }

    /// The tagged fields at the end of a reply.
    func endpoints(_ listener: String, _ broker: Broker, version: Int16) -> TaggedFieldsWriter {
        var fields = TaggedFieldsWriter()
        guard !nodes.isEmpty else { return fields }
        let image = broker.cluster.image
        let endpoints = nodes.sorted().compactMap { node -> ProduceResponse.NodeEndpoint? in
            guard let registration = image.brokers[node] else { return nil }
            let endpoint = broker.endpoint(of: registration, listener: listener)
            var entry = ProduceResponse.NodeEndpoint()
            entry.nodeId = node
            entry.host = endpoint.host
            entry.port = endpoint.port
            entry.rack = registration.rack
            return entry
        }
        guard !endpoints.isEmpty else { return fields }
        var writer = ByteWriter()
        writer.arrayCount(endpoints.count, flexible: true)
        for endpoint in endpoints { endpoint.encode(to: &writer, version: version) }
        fields.append(0, writer)
        return fields
    }
}
