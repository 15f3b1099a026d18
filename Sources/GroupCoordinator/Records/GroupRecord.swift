import CoordinatorCore
import KafkaProtocol

/// A record of `__consumer_offsets`, typed. Key and value each begin with their own 16-bit version; the key's version
/// says which kind of record it is.
enum GroupRecord: Sendable, Equatable {
    case offsetCommit(OffsetCommitKey, OffsetCommitValue?)
    case groupMetadata(GroupMetadataKey, GroupMetadataValue?)
    case consumerGroupMetadata(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue?)
    case consumerGroupPartitionMetadata(ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue?)
    case consumerGroupMemberMetadata(ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue?)
    case consumerGroupTargetAssignmentMetadata(
        ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue?)
    case consumerGroupTargetAssignmentMember(
        ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue?)
    case consumerGroupCurrentMemberAssignment(
        ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue?)

    /// Versions of the keys, which are the kinds of records.
    enum KeyVersion {
        static let offsetCommit: Int16 = 1
        static let groupMetadata: Int16 = 2
        static let consumerGroupMetadata: Int16 = 3
        static let consumerGroupPartitionMetadata: Int16 = 4
        static let consumerGroupMemberMetadata: Int16 = 5
        static let consumerGroupTargetAssignmentMetadata: Int16 = 6
        static let consumerGroupTargetAssignmentMember: Int16 = 7
        static let consumerGroupCurrentMemberAssignment: Int16 = 8
    }
}

// MARK: Encoding

extension GroupRecord {
    func encoded() -> CoordinatorRecord {
        switch self {
        case .offsetCommit(let key, let value):
            // Only version 1 has the expire timestamp; it lacks the leader epoch, as in Kafka.
            let version: Int16 = value.map { $0.expireTimestamp != -1 } == true ? 1 : 3
            return Self.record(key, KeyVersion.offsetCommit, value, version)
        case .groupMetadata(let key, let value):
            return Self.record(key, KeyVersion.groupMetadata, value, 3)
        case .consumerGroupMetadata(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupMetadata, value, 0)
        case .consumerGroupPartitionMetadata(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupPartitionMetadata, value, 0)
        case .consumerGroupMemberMetadata(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupMemberMetadata, value, 0)
        case .consumerGroupTargetAssignmentMetadata(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupTargetAssignmentMetadata, value, 0)
        case .consumerGroupTargetAssignmentMember(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupTargetAssignmentMember, value, 0)
        case .consumerGroupCurrentMemberAssignment(let key, let value):
            return Self.record(key, KeyVersion.consumerGroupCurrentMemberAssignment, value, 0)
        }
    }

    private static func record(
        _ key: some ProtocolMessage, _ keyVersion: Int16, _ value: (some ProtocolMessage)?, _ valueVersion: Int16
    ) -> CoordinatorRecord {
        CoordinatorRecord(
            key: versioned(key, keyVersion), value: value.map { versioned($0, valueVersion) })
    }

    private static func versioned(_ message: some ProtocolMessage, _ version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(version)
        message.encode(to: &writer, version: version)
        return writer.bytes
    }
}

// MARK: Decoding

extension GroupRecord {
    enum Decoded: Sendable, Equatable {
        case record(GroupRecord)
        /// A kind of record that this build does not know, such as those of share groups.
        case unknown(keyVersion: Int16)
    }

    static func decode(key: [UInt8], value: [UInt8]?) throws(ProtocolDecodingError) -> Decoded {
        let keyVersion = try version(of: key)
        switch keyVersion {
        case 0, KeyVersion.offsetCommit:
            return .record(.offsetCommit(try read(key), try readOptional(value)))
        case KeyVersion.groupMetadata:
            return .record(.groupMetadata(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupMetadata:
            return .record(.consumerGroupMetadata(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupPartitionMetadata:
            return .record(.consumerGroupPartitionMetadata(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupMemberMetadata:
            return .record(.consumerGroupMemberMetadata(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupTargetAssignmentMetadata:
            return .record(.consumerGroupTargetAssignmentMetadata(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupTargetAssignmentMember:
            return .record(.consumerGroupTargetAssignmentMember(try read(key), try readOptional(value)))
        case KeyVersion.consumerGroupCurrentMemberAssignment:
            return .record(.consumerGroupCurrentMemberAssignment(try read(key), try readOptional(value)))
        default:
            return .unknown(keyVersion: keyVersion)
        }
    }

    private static func version(of bytes: [UInt8]) throws(ProtocolDecodingError) -> Int16 {
        guard bytes.count >= 2 else { throw .truncated }
        return Int16(bitPattern: UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
    }

    private static func read<Message: ProtocolMessage>(_ bytes: [UInt8]) throws(ProtocolDecodingError) -> Message {
        try Message.decode(Array(bytes.dropFirst(2)), version: try version(of: bytes))
    }

    private static func readOptional<Message: ProtocolMessage>(
        _ bytes: [UInt8]?
    ) throws(ProtocolDecodingError) -> Message? {
        guard let bytes else { return nil }
        return try read(bytes)
    }
}
