import KafkaProtocol

/// What consumers of a classic group tell each other through the coordinator, which does not look inside.
enum ConsumerProtocol {
    /// Version 0, which every client reads.
    static func encodeSubscription(_ topics: [String]) -> [UInt8] {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = topics
        return versioned(0, subscription)
    }

    /// The topics of a subscription of any version: later ones only append fields.
    static func subscription(_ bytes: [UInt8]) throws(ClientError) -> [String] {
        try read(bytes) { span, cursor, _ throws(ProtocolDecodingError) in
            try ConsumerProtocolSubscription(from: span, at: &cursor, version: 0).topics
        }
    }

    static func encodeAssignment(_ partitions: [TopicPartition]) -> [UInt8] {
        var assignment = ConsumerProtocolAssignment()
        assignment.assignedPartitions = grouped(partitions).map { name, partitions in
            var topic = ConsumerProtocolAssignment.TopicPartition()
            topic.topic = name
            topic.partitions = partitions
            return topic
        }
        // All versions so far look the same, and old clients read this one without doubt.
        return versioned(0, assignment)
    }

    /// The partitions of an assignment; none for no bytes, which members have before their first assignment.
    static func assignment(_ bytes: [UInt8]) throws(ClientError) -> [TopicPartition] {
        if bytes.isEmpty { return [] }
        return try read(bytes) { span, cursor, _ throws(ProtocolDecodingError) in
            try ConsumerProtocolAssignment(from: span, at: &cursor, version: 0).assignedPartitions
                .flatMap { topic in topic.partitions.map { TopicPartition(topic.topic, $0) } }
        }
    }

    static func versioned(_ version: Int16, _ message: some ProtocolMessage) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(version)
        message.encode(to: &writer, version: version)
        return writer.bytes
    }

    static func grouped(_ partitions: [TopicPartition]) -> [(topic: String, partitions: [Int32])] {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }
            .map { ($0.key, $0.value.map(\.partition)) }
    }

    static func read<Value>(
        _ bytes: [UInt8], _ body: (RawSpan, inout ByteCursor, Int16) throws(ProtocolDecodingError) -> Value
    ) throws(ClientError) -> Value {
        do throws(ProtocolDecodingError) {
            let span = bytes.span.bytes
            var cursor = ByteCursor()
            let version = try cursor.int16(span)
            guard version >= 0 else { throw .unsupportedVersion }
            return try body(span, &cursor, version)
        } catch {
            throw ClientError(.malformedReply, "a group member's metadata is malformed: \(error)")
        }
    }
}
