/// Why bytes are not the message they claim to be. The peer sent them, so nothing here may trap.
package enum ProtocolDecodingError: Error, Hashable, Sendable {
    /// A field ends beyond the message.
    case truncated
    /// A length is negative where null is not allowed, or beyond its type.
    case invalidLength
    /// A variable-length integer has too many bytes.
    case invalidVariableLengthInteger
    /// The message would take more memory than its limit (see `ByteCursor.memoryLimit`).
    case tooLarge
    /// Bytes are left after the last field.
    case trailingBytes
    /// A tagged field's size does not match its content.
    case invalidTaggedField
    /// The message does not exist in that version.
    case unsupportedVersion
}
