/// A struct of the protocol, whole or part of a message.
package protocol WireStructure: Sendable, Equatable {
    /// All fields at the protocol's defaults.
    init()

    /// Reads the struct at the cursor. `version` must be one of the message's `validVersions`.
    init(from bytes: RawSpan, at cursor: inout ByteCursor, version: Int16) throws(ProtocolDecodingError)

    /// Writes the struct. Fields that `version` lacks are left out; see `ByteWriter.unsupportedField`.
    func encode(to writer: inout ByteWriter, version: Int16)

    /// Calls `body` with every error code in a response, NONE included, wherever in it they stand.
    func forEachErrorCode(_ body: (Int16) -> Void)
}

extension WireStructure {
    package func forEachErrorCode(_ body: (Int16) -> Void) {}
}

package protocol ProtocolMessage: WireStructure {
    static var validVersions: ClosedRange<Int16> { get }
    /// `Int16.max` when no version is flexible (KIP-482).
    static var firstFlexibleVersion: Int16 { get }
}

package protocol ProtocolRequest: ProtocolMessage {
    associatedtype Response: ProtocolResponse
    static var apiKey: ApiKey { get }
}

package protocol ProtocolResponse: ProtocolMessage {
    static var apiKey: ApiKey { get }
}

extension ProtocolMessage {
    /// Reads a whole message: bytes that remain after it are an error.
    package static func decode(_ bytes: RawSpan, version: Int16) throws(ProtocolDecodingError) -> Self {
        guard validVersions.contains(version) else { throw .unsupportedVersion }
        var cursor = ByteCursor()
        let message = try Self(from: bytes, at: &cursor, version: version)
        guard cursor.position == bytes.byteCount else { throw .trailingBytes }
        return message
    }

    package static func decode(_ bytes: [UInt8], version: Int16) throws(ProtocolDecodingError) -> Self {
        try decode(bytes.span.bytes, version: version)
    }

    package func encoded(version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        encode(to: &writer, version: version)
        return writer.bytes
    }
}
