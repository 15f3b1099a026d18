import ClusterMetadata
import KafkaProtocol

/// Tells a client that came to the wrong node who leads its partitions, and where, so that it need not ask (KIP-951). Produce
/// and Fetch replies have the same form of it, under tags of their own.
struct LeaderRedirections {
    private var nodes: Set<Int32> = []

    /// The partition's leader, as the value of a tagged field; nil while nobody leads it.
    mutating func leader(_ topic: TopicMetadata?, _ partition: Int32) -> ByteWriter? {
        guard let partitions = topic?.partitions, partitions.indices.contains(Int(partition)),
            partitions[Int(partition)].leader >= 0
        else { return nil }
        nodes.insert(partitions[Int(partition)].leader)
        var writer = ByteWriter()
        writer.write(partitions[Int(partition)].leader)
        writer.write(partitions[Int(partition)].leaderEpoch)
        writer.noTaggedFields()
        return writer
    }

    /// The tagged fields at the end of a reply: where the leaders are that its partitions name.
    func endpoints(_ listener: String, _ broker: Broker) -> TaggedFieldsWriter {
        var fields = TaggedFieldsWriter()
        guard !nodes.isEmpty else { return fields }
        let image = broker.cluster.image
        let registrations = nodes.sorted().compactMap { image.brokers[$0] }
        guard !registrations.isEmpty else { return fields }
        var writer = ByteWriter()
        writer.arrayCount(registrations.count, flexible: true)
        for registration in registrations {
            let endpoint = broker.endpoint(of: registration, listener: listener)
            writer.write(registration.nodeId)
            writer.string(endpoint.host, flexible: true)
            writer.write(endpoint.port)
            writer.nullableString(registration.rack, flexible: true)
            writer.noTaggedFields()
        }
        fields.append(0, writer)
        return fields
    }
}
