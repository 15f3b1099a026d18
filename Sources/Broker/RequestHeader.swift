import KafkaProtocol

/// The protocol's, not the record format's.
typealias ByteCursor = KafkaProtocol.ByteCursor

/// What stands before every request.
struct RequestHeader {
    var apiKey: Int16
    var apiVersion: Int16
    var correlationId: Int32
    /// Where the client's id is in the frame; a `String` is made of it only where it is needed.
    var clientId: Range<Int>?

    /// The key, the version and the correlation id, which every version of the header has.
    init(_ bytes: RawSpan, at cursor: inout ByteCursor) throws(ProtocolDecodingError) {
        apiKey = try cursor.int16(bytes)
        apiVersion = try cursor.int16(bytes)
        correlationId = try cursor.int32(bytes)
    }

    /// The client's id, and from header version 2 on the tagged fields. The id is never in the flexible form.
    mutating func readRest(
        _ bytes: RawSpan, at cursor: inout ByteCursor, isFlexible: Bool
    ) throws(ProtocolDecodingError) {
        clientId = try cursor.range(bytes, flexible: false, isString: true)
        if isFlexible { try cursor.skipTaggedFields(bytes) }
    }
}
