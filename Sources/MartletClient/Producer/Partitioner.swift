import RecordFormat

/// Chooses the partitions of records that name none. It is called for each record, under the producer's lock: it must
/// be fast and must not call the producer.
public protocol Partitioner: Sendable {
    /// The partition of a record, from 0 to `partitionCount` - 1; nil leaves it to the producer, which then does as for
    /// records without a key. Another number fails the record.
    func partition(topic: String, key: RawSpan?, partitionCount: Int) -> Int32?
}

/// How Kafka's default partitioner places keys.
public enum KeyPartitioner {
    /// The partition of a key among `count`, which is more than zero: that of every Kafka client with the default
    /// partitioner of Java.
    public static func partition(ofKey key: [UInt8], count: Int) -> Int32 {
        key.withUnsafeBytes { partition(ofKey: $0, count: count) }
    }

    static func partition(ofKey key: UnsafeRawBufferPointer, count: Int) -> Int32 {
        precondition(count > 0)
        return Int32((murmur2(key) & 0x7FFF_FFFF) % UInt32(count))
    }
}
