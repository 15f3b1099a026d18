/// Which partition a record goes to when its producer names none: as Kafka's default partitioner, by the key's hash;
/// without a key one partition for a whole batch, then another by chance (KIP-480), so that batches grow full.
package struct Partitioner: Sendable {
    private var sticky: [String: Int32] = [:]

    package init() {}

    /// The partition of a key among `count`.
    package static func partition(ofKey key: [UInt8], count: Int) -> Int32 {
        precondition(count > 0)
        return Int32((murmur2(key) & 0x7FFF_FFFF) % UInt32(count))
    }

    /// `available` are the partitions with a leader, `count` all partitions.
    package mutating func partition(
        topic: String, key: [UInt8]?, count: Int, available: [Int32], using generator: inout some RandomNumberGenerator
    ) -> Int32 {
        if let key { return Self.partition(ofKey: key, count: count) }
        if let current = sticky[topic], current < count { return current }
        let next = available.randomElement(using: &generator) ?? Int32.random(in: 0..<Int32(count), using: &generator)
        sticky[topic] = next
        return next
    }

    /// The topic's batch in `partition` is full: keyless records move on to another, where there is one.
    package mutating func batchIsFull(
        topic: String, partition: Int32, available: [Int32], using generator: inout some RandomNumberGenerator
    ) {
        guard sticky[topic] == partition else { return }
        sticky[topic] = available.filter { $0 != partition }.randomElement(using: &generator) ?? partition
    }
}
