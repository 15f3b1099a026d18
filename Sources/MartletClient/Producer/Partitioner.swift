/// Which partition a record goes to when its producer names none: as Kafka's default partitioner, by the key's hash;
/// without a key one partition for as many bytes as a batch has, then another by chance (KIP-794), so that batches grow
/// full and partitions alike.
package struct Partitioner: Sendable {
    private struct Sticky {
        var partition: Int32
        var byteCount = 0
    }

    private let stickyBytes: Int
    private var sticky: [String: Sticky] = [:]

    /// `stickyBytes` is how much goes to one partition before the next takes its place.
    package init(stickyBytes: Int) {
        self.stickyBytes = stickyBytes
    }

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
        if let current = sticky[topic], current.partition < count { return current.partition }
        let next = available.randomElement(using: &generator) ?? Int32.random(in: 0..<Int32(count), using: &generator)
        sticky[topic] = Sticky(partition: next)
        return next
    }

    /// `byteCount` went to `partition`: when that is the sticky one and has had its share, another takes its place.
    package mutating func didAppend(
        _ byteCount: Int, topic: String, partition: Int32, available: [Int32],
        using generator: inout some RandomNumberGenerator
    ) {
        guard var current = sticky[topic], current.partition == partition else { return }
        current.byteCount += byteCount
        if current.byteCount >= stickyBytes {
            let others = available.filter { $0 != partition }
            current = Sticky(partition: others.randomElement(using: &generator) ?? partition)
        }
        sticky[topic] = current
    }
}
