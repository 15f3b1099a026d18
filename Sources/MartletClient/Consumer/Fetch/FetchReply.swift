import KafkaProtocol
import NIOCore

/// A Fetch reply, whose records stay where they are in the frame. Versions 4 to 17.
struct FetchReply: Sendable {
    struct Partition: Sendable {
        /// Before version 13.
        var topic = ""
        /// From version 13 on.
        var topicId = Uuid.zero
        var index: Int32 = 0
        var errorCode = ErrorCode.none
        var highWatermark: Int64 = -1
        var lastStableOffset: Int64 = -1
        var logStartOffset: Int64 = -1
        /// -1 when the reply does not say who leads now (KIP-951).
        var currentLeader: Int32 = -1
        var currentLeaderEpoch: Int32 = -1
        var abortedTransactions: [FetchResponse.AbortedTransaction] = []
        /// -1 for none (KIP-392).
        var preferredReadReplica: Int32 = -1
        /// nil for none.
        var records: ByteBuffer?
    }

    /// Whether its topics go by id, from version 13 on.
    var usesIds = false
    /// How long the broker wants to hear nothing more on the connection.
    var throttle = Duration.zero
    var errorCode = ErrorCode.none
    var sessionId: Int32 = 0
    var partitions: [Partition] = []
    /// All that is allocated for the frame.
    var frameByteCount = 0

    init() {}

    /// Reads a whole frame, which starts with the correlation id. Throws `malformedReply`.
    init(frame: ByteBuffer, version: Int16) throws(ClientError) {
        self.init()
        frameByteCount = frame.storageCapacity
        do {
            try frame.withUnsafeReadableBytes { buffer in
                let bytes = RawSpan(_unsafeBytes: buffer)
                var cursor = ByteCursor()
                try read(bytes, &cursor, version, frame)
            }
        } catch {
            throw ClientError(
                .malformedReply, "the reply to Fetch version \(version) is malformed: \(error)",
                nextStep: "check that a Kafka broker listens there")
        }
    }

    private mutating func read(
        _ bytes: RawSpan, _ cursor: inout ByteCursor, _ version: Int16, _ frame: ByteBuffer
    ) throws(ProtocolDecodingError) {
        let flexible = version >= 12
        usesIds = version >= 13
        _ = try cursor.int32(bytes)
        if flexible { try cursor.skipTaggedFields(bytes) }
        throttle = ClientThrottle.duration(try cursor.int32(bytes), of: FetchRequest.self, version: version)
        if version >= 7 {
            errorCode = ErrorCode(rawValue: try cursor.int16(bytes))
            sessionId = try cursor.int32(bytes)
        }
        let topicCount = max(0, try cursor.arrayCount(bytes, flexible: flexible))
        for _ in 0..<topicCount {
            var name = ""
            var id = Uuid.zero
            if version >= 13 {
                id = try cursor.uuid(bytes)
            } else {
                name = try cursor.string(bytes, flexible: flexible)
            }
            let count = max(0, try cursor.arrayCount(bytes, flexible: flexible))
            for _ in 0..<count {
                var partition = Partition()
                partition.topic = name
                partition.topicId = id
                try Self.read(&partition, bytes, &cursor, version, frame)
                partitions.append(partition)
            }
            if flexible { try cursor.skipTaggedFields(bytes) }
        }
        if flexible { try cursor.skipTaggedFields(bytes) }
    }

    private static func read(
        _ partition: inout Partition, _ bytes: RawSpan, _ cursor: inout ByteCursor, _ version: Int16,
        _ frame: ByteBuffer
    ) throws(ProtocolDecodingError) {
        let flexible = version >= 12
        partition.index = try cursor.int32(bytes)
        partition.errorCode = ErrorCode(rawValue: try cursor.int16(bytes))
        partition.highWatermark = try cursor.int64(bytes)
        partition.lastStableOffset = try cursor.int64(bytes)
        if version >= 5 { partition.logStartOffset = try cursor.int64(bytes) }
        partition.abortedTransactions =
            try cursor.nullableStructures(bytes, flexible: flexible, version: version) ?? []
        if version >= 11 { partition.preferredReadReplica = try cursor.int32(bytes) }
        if let range = try cursor.range(bytes, flexible: flexible, isString: false), !range.isEmpty {
            partition.records = frame.getSlice(at: frame.readerIndex + range.lowerBound, length: range.count)
        }
        guard flexible else { return }
        for _ in 0..<(try cursor.taggedFieldCount(bytes)) {
            let field = try cursor.taggedField(bytes)
            guard field.tag == 1 else {
                cursor.skip(field)
                continue
            }
            let leader = try FetchResponse.LeaderIdAndEpoch(from: bytes, at: &cursor, version: version)
            try cursor.finish(field)
            (partition.currentLeader, partition.currentLeaderEpoch) = (leader.leaderId, leader.leaderEpoch)
        }
    }
}
