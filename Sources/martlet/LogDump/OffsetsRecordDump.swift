import KafkaProtocol
import RecordFormat

/// Records of `__consumer_offsets` in words: commits, classic groups, and the records of KIP-848 by their kind. Key and
/// value start with a version; the key's tells the kind.
enum OffsetsRecordDump {
    /// nil for what is not known, which is then printed as any record.
    static func fields(_ record: RecordView) -> [JSONValue.Field]? {
        guard let key = record.key, key.count >= 2 else { return nil }
        do {
            switch key.loadBigEndian(at: 0, as: Int16.self) {
            case 0, 1: return try commit(key, record.value)
            case 2: return try classicGroup(key, record.value)
            case 3: return try consumerGroup("consumer group", ConsumerGroupMetadataKey.self, \.groupId, key, record)
            case 4:
                return try consumerGroup(
                    "partition metadata", ConsumerGroupPartitionMetadataKey.self, \.groupId, key, record)
            case 5: return try consumerGroup("member", ConsumerGroupMemberMetadataKey.self, \.groupId, key, record)
            case 6:
                return try consumerGroup(
                    "target assignment epoch", ConsumerGroupTargetAssignmentMetadataKey.self, \.groupId, key, record)
            case 7:
                return try consumerGroup(
                    "target assignment", ConsumerGroupTargetAssignmentMemberKey.self, \.groupId, key, record)
            case 8:
                return try consumerGroup(
                    "current assignment", ConsumerGroupCurrentMemberAssignmentKey.self, \.groupId, key, record)
            default: return nil
            }
        } catch {
            return [.init("malformed", .string("\(error)"))]
        }
    }

    private static func commit(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?
    ) throws(ProtocolDecodingError) -> [JSONValue.Field] {
        let name = try decode(OffsetCommitKey.self, key)
        var fields: [JSONValue.Field] = [
            .init("type", .string("offset")), .init("group", .string(name.group)), .init("topic", .string(name.topic)),
            .init("partition", .number(name.partition)),
        ]
        guard let value else { return fields + [.init("deleted", .bool(true))] }
        let commit = try decode(OffsetCommitValue.self, value)
        fields += [
            .init("committed", .number(commit.offset)), .init("leaderEpoch", .number(commit.leaderEpoch)),
            .init("metadata", .string(commit.metadata)), .init("commitTimestamp", .number(commit.commitTimestamp)),
        ]
        return fields
    }

    private static func classicGroup(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?
    ) throws(ProtocolDecodingError) -> [JSONValue.Field] {
        let name = try decode(GroupMetadataKey.self, key)
        let fields: [JSONValue.Field] = [.init("type", .string("group")), .init("group", .string(name.group))]
        guard let value else { return fields + [.init("deleted", .bool(true))] }
        let group = try decode(GroupMetadataValue.self, value)
        return fields + [
            .init("protocolType", .string(group.protocolType)), .init("generation", .number(group.generation)),
            .init("protocol", .optional(group.protocol)), .init("leader", .optional(group.leader)),
            .init("members", .array(group.members.map { .string($0.memberId) })),
        ]
    }

    private static func consumerGroup<Key: ProtocolMessage>(
        _ type: String, _ keyType: Key.Type, _ group: (Key) -> String, _ key: UnsafeRawBufferPointer,
        _ record: RecordView
    ) throws(ProtocolDecodingError) -> [JSONValue.Field] {
        let name = try decode(keyType, key, version: 0)
        var fields: [JSONValue.Field] = [.init("type", .string(type)), .init("group", .string(group(name)))]
        if record.value == nil { fields.append(.init("deleted", .bool(true))) }
        return fields
    }

    /// The message after its version. `version` overrides the one in front, which in newer keys is the record's kind.
    private static func decode<Message: ProtocolMessage>(
        _ type: Message.Type, _ bytes: UnsafeRawBufferPointer, version: Int16? = nil
    ) throws(ProtocolDecodingError) -> Message {
        let span = RawSpan(_unsafeBytes: bytes)
        var cursor = KafkaProtocol.ByteCursor()
        let prefix = try cursor.int16(span)
        let version = version ?? prefix
        // Newer values are read as far as they are known here.
        guard version >= Message.validVersions.lowerBound else { throw .unsupportedVersion }
        return try Message(from: span, at: &cursor, version: min(version, Message.validVersions.upperBound))
    }
}
