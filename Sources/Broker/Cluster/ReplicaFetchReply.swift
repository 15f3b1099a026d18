import KafkaProtocol

/// A Fetch reply, walked where it lies: the records of a partition are a stretch of its bytes.
enum ReplicaFetchReply {
    static let version: Int16 = 17

    struct Partition {
        var topicId: Uuid
        var partition: Int32
        var error: ErrorCode
        var highWatermark: Int64
        var logStartOffset: Int64
        var diverging: (epoch: Int32, endOffset: Int64)?
        var records: Range<Int>
    }

    struct Head {
        var error: ErrorCode
        var sessionId: Int32
    }

    /// Whether a log must be cut or begun anew because of it.
    static func cutsLogs(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var cuts = false
        do throws(ProtocolDecodingError) {
            _ = try walk(bytes) { cuts = cuts || $0.diverging != nil || $0.error == .offsetOutOfRange }
        } catch {
            // Whoever works it in says so.
            return false
        }
        return cuts
    }

    /// Calls `body` for each partition, in order.
    static func walk(
        _ bytes: UnsafeRawBufferPointer, _ body: (Partition) -> Void
    ) throws(ProtocolDecodingError) -> Head {
        let span = RawSpan(_unsafeBytes: bytes)
        var cursor = ByteCursor()
        _ = try cursor.int32(span)  // correlation id
        try cursor.skipTaggedFields(span)
        _ = try cursor.int32(span)  // throttle time
        let head = Head(
            error: ErrorCode(rawValue: try cursor.int16(span)), sessionId: try cursor.int32(span))
        for _ in 0..<max(0, try cursor.arrayCount(span, flexible: true)) {
            let topicId = try cursor.uuid(span)
            for _ in 0..<max(0, try cursor.arrayCount(span, flexible: true)) {
                body(try partition(of: topicId, span, &cursor))
            }
            try cursor.skipTaggedFields(span)
        }
        return head
    }

    private static func partition(
        of topicId: Uuid, _ span: RawSpan, _ cursor: inout ByteCursor
    ) throws(ProtocolDecodingError) -> Partition {
        let index = try cursor.int32(span)
        let error = ErrorCode(rawValue: try cursor.int16(span))
        let highWatermark = try cursor.int64(span)
        _ = try cursor.int64(span)  // last stable offset
        let logStartOffset = try cursor.int64(span)
        for _ in 0..<max(0, try cursor.arrayCount(span, flexible: true)) {
            // Aborted transactions: a follower reads all records.
            _ = try cursor.int64(span)
            _ = try cursor.int64(span)
            try cursor.skipTaggedFields(span)
        }
        _ = try cursor.int32(span)  // preferred replica
        let records = try cursor.range(span, flexible: true, isString: false) ?? 0..<0
        var partition = Partition(
            topicId: topicId, partition: index, error: error, highWatermark: highWatermark,
            logStartOffset: logStartOffset, records: records)
        for _ in 0..<(try cursor.unsignedVarint(span)) {
            let tag = try cursor.unsignedVarint(span)
            let length = Int(try cursor.unsignedVarint(span))
            let start = cursor.position
            guard length <= bytesLeft(span, cursor) else { throw .invalidLength }
            if tag == 0 {
                partition.diverging = (try cursor.int32(span), try cursor.int64(span))
            }
            cursor.position = start + length
        }
        return partition
    }

    private static func bytesLeft(_ span: RawSpan, _ cursor: ByteCursor) -> Int { span.byteCount - cursor.position }
}
