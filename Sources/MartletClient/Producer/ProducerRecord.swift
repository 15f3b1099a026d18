import RecordFormat

/// A record to be produced.
package struct ProducerRecord: Sendable, Equatable {
    package var topic: String
    /// nil: the partitioner decides.
    package var partition: Int32?
    /// nil: no key.
    package var key: [UInt8]?
    /// nil: a tombstone, which deletes the key from a compacted topic.
    package var value: [UInt8]?
    package var headers: [RecordHeader]
    /// Milliseconds since the epoch.
    package var timestamp: Int64

    package init(
        topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?, headers: [RecordHeader] = [],
        timestamp: Int64
    ) {
        self.topic = topic
        self.partition = partition
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
    }
}
