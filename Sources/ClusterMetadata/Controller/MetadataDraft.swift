/// An image that one request or event changes step by step: each step sees what those before it did, and in the end the
/// changed topics are stored together.
package struct MetadataDraft {
    package private(set) var image: MetadataImage
    private var changed: Set<String> = []

    package init(_ image: MetadataImage) {
        self.image = image
    }

    /// The changed topics, by name.
    package var topics: [TopicMetadata] {
        changed.sorted().compactMap { image.topics[$0] }
    }

    package mutating func set(_ partition: PartitionMetadata, of reference: PartitionReference) {
        // In place: a request may change thousands of partitions of one topic.
        image.topics[reference.topic]?.partitions[Int(reference.partition)] = partition
        changed.insert(reference.topic)
    }

    package mutating func replace(_ topics: [TopicMetadata]) {
        for topic in topics {
            image.insert(topic)
            changed.insert(topic.name)
        }
    }

    mutating func admit(_ nodeId: Int32, _ record: NodeRecord) {
        image.nodes[nodeId] = record
        image.brokers[nodeId]?.isAdmitted = record.isAdmitted
        image.brokers[nodeId]?.epoch = record.epoch
    }
}

package struct PartitionReference: Sendable, Hashable, Comparable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32

    package init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic)-\(partition)" }

    package static func < (left: PartitionReference, right: PartitionReference) -> Bool {
        (left.topic, left.partition) < (right.topic, right.partition)
    }
}

extension MetadataImage {
    func partition(_ reference: PartitionReference) -> PartitionMetadata? {
        guard let partitions = topics[reference.topic]?.partitions,
            partitions.indices.contains(Int(reference.partition))
        else { return nil }
        return partitions[Int(reference.partition)]
    }
}
