/// A record to be produced.
public struct ProducerRecord: Sendable, Equatable {
    /// The topic's name.
    public var topic: String
    /// nil: the partitioner decides.
    public var partition: Int32?
    /// nil: no key.
    public var key: [UInt8]?
    /// nil: a tombstone, which deletes the key from a compacted topic.
    public var value: [UInt8]?
    /// In the order that consumers see.
    public var headers: [Header]
    /// Milliseconds since the epoch; nil for the time when the producer takes the record over.
    public var timestamp: Int64?

    /// A record of bytes.
    public init(
        topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?, headers: [Header] = [],
        timestamp: Int64? = nil
    ) {
        self.topic = topic
        self.partition = partition
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
    }

    /// A record of texts.
    public init(topic: String, key: String? = nil, text: String, headers: [Header] = []) {
        self.init(topic: topic, key: key.map { Array($0.utf8) }, value: Array(text.utf8), headers: headers)
    }
}

/// Where an acknowledged record is.
public struct RecordMetadata: Sendable, Hashable {
    /// The topic's name.
    public let topic: String
    /// The partition's number.
    public let partition: Int32
    /// The record's offset in the partition; nil with `acks=0`, or when the broker knew the record already from an
    /// earlier attempt and does not remember where it is.
    public let offset: Int64?
    /// Milliseconds since the epoch: the record's own, or the broker's with `message.timestamp.type=LogAppendTime`.
    public let timestamp: Int64
}
