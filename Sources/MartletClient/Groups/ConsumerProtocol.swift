import KafkaProtocol

/// What consumers of a classic group tell each other through the coordinator, which does not look inside.
enum ConsumerProtocol {
    /// Version 0, which every client reads.
    static func encodeSubscription(_ topics: [String]) -> [UInt8] {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = topics
        var writer = ByteWriter()
        writer.write(Int16(0))
        subscription.encode(to: &writer, version: 0)
        return writer.bytes
    }

    /// The topics of a subscription of any version: later ones only append fields.
    static func subscription(_ bytes: [UInt8]) throws(ClientError) -> [String] {
        try read(bytes) { span, cursor throws(ProtocolDecodingError) in
            try ConsumerProtocolSubscription(from: span, at: &cursor, version: 0).topics
        }
    }

    static func encodeAssignment(_ partitions: [TopicPartition]) -> [UInt8] {
        var assignment = ConsumerProtocolAssignment()
        assignment.assignedPartitions = Dictionary(grouping: partitions, by: \.topic)
            .sorted { $0.key < $1.key }.map { name, partitions in
                var topic = ConsumerProtocolAssignment.TopicPartition()
                topic.topic = name
                topic.partitions = partitions.map(\.partition)
                return topic
            }
        var writer = ByteWriter()
        writer.write(Int16(0))
        assignment.encode(to: &writer, version: 0)
        return writer.bytes
    }

    /// The partitions of an assignment; none for no bytes, which members have before their first assignment.
    static func assignment(_ bytes: [UInt8]) throws(ClientError) -> [TopicPartition] {
        if bytes.isEmpty { return [] }
        return try read(bytes) { span, cursor throws(ProtocolDecodingError) in
            try ConsumerProtocolAssignment(from: span, at: &cursor, version: 0).assignedPartitions
                .flatMap { topic in topic.partitions.map { TopicPartition(topic.topic, $0) } }
        }
    }

    private static func read<Value>(
        _ bytes: [UInt8], _ body: (RawSpan, inout ByteCursor) throws(ProtocolDecodingError) -> Value
    ) throws(ClientError) -> Value {
        do throws(ProtocolDecodingError) {
            let span = bytes.span.bytes
            var cursor = ByteCursor()
            guard try cursor.int16(span) >= 0 else { throw .unsupportedVersion }
            return try body(span, &cursor)
        } catch {
            throw ClientError(.malformedReply, "a group member's metadata is malformed: \(error)")
        }
    }
}
