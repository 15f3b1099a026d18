import RecordFormat

/// A record as it is in a log.
public struct StoredRecord: Sendable, Hashable {
    /// A record's header.
    public struct Header: Sendable, Hashable {
        /// The header's key.
        public var key: String
        /// nil for Kafka's null.
        public var value: [UInt8]?

        /// A header of bytes.
        public init(key: String, value: [UInt8]?) {
            self.key = key
            self.value = value
        }
    }

    /// The record's place in its partition.
    public let offset: Int64
    /// Milliseconds since the epoch.
    public let timestamp: Int64
    /// nil for Kafka's null.
    public let key: [UInt8]?
    /// nil for Kafka's null: a tombstone.
    public let value: [UInt8]?
    /// In the producer's order.
    public let headers: [Header]

    /// The key as text.
    public var keyText: String? { key.map { String(decoding: $0, as: UTF8.self) } }
    /// The value as text.
    public var text: String? { value.map { String(decoding: $0, as: UTF8.self) } }

    init(_ record: Record) {
        offset = record.offset
        timestamp = record.timestamp
        key = record.key
        value = record.value
        headers = record.headers.map { Header(key: String(decoding: $0.key, as: UTF8.self), value: $0.value) }
    }
}
