/// Why bytes are not a record batch.
package enum RecordFormatError: Error, Equatable, Sendable {
    /// Something continues past the end of the bytes.
    case truncated
    case invalidVarint
    case negativeLength
    /// The batch declares another length than the bytes have, or one shorter than a header.
    case invalidLength
    /// Message formats before record batch v2, or after it.
    case unsupportedMagic(Int8)
    case checksumMismatch(declared: UInt32, computed: UInt32)
    case unknownCodec(Int)
    /// The records do not fill the batch, or do not number as many as declared.
    case recordCountMismatch
    /// A record's fields do not fill its declared length.
    case invalidRecord
    /// A control record whose key or value is not one.
    case invalidControlRecord
    case compression(CompressionError)
}

/// Why bytes could not be compressed or decompressed.
package enum CompressionError: Error, Equatable, Sendable {
    case corrupt
    /// The content is longer than the caller allows.
    case limitExceeded(limit: Int)
    case outOfMemory
    case levelOutOfRange
}
