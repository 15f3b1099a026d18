/// A primitive that stands in the protocol's arrays.
package protocol WireElement: Sendable {
    static func read(_ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool) throws(ProtocolDecodingError)
        -> Self
    func write(to writer: inout ByteWriter, flexible: Bool)
}

extension Int8: WireElement {
    package static func read(
        _ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool
    ) throws(ProtocolDecodingError) -> Int8 { try cursor.int8(bytes) }
    package func write(to writer: inout ByteWriter, flexible: Bool) { writer.write(self) }
}

extension Int32: WireElement {
    package static func read(
        _ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool
    ) throws(ProtocolDecodingError) -> Int32 { try cursor.int32(bytes) }
    package func write(to writer: inout ByteWriter, flexible: Bool) { writer.write(self) }
}

extension Int64: WireElement {
    package static func read(
        _ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool
    ) throws(ProtocolDecodingError) -> Int64 { try cursor.int64(bytes) }
    package func write(to writer: inout ByteWriter, flexible: Bool) { writer.write(self) }
}

extension Uuid: WireElement {
    package static func read(
        _ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool
    ) throws(ProtocolDecodingError) -> Uuid { try cursor.uuid(bytes) }
    package func write(to writer: inout ByteWriter, flexible: Bool) { writer.write(self) }
}

extension String: WireElement {
    package static func read(
        _ bytes: RawSpan, at cursor: inout ByteCursor, flexible: Bool
    ) throws(ProtocolDecodingError) -> String { try cursor.string(bytes, flexible: flexible) }
    package func write(to writer: inout ByteWriter, flexible: Bool) { writer.string(self, flexible: flexible) }
}
