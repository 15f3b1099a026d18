/// The last offset of each key of a log's dirty part, by a 128-bit hash of the key, seeded for the process.
final class OffsetMap {
    /// What an entry costs with the table's free places.
    static let bytesPerKey = 56

    private struct Key: Hashable {
        var high: Int
        var low: Int
    }

    private let capacity: Int
    private var offsets: [Key: Int64] = [:]
    /// Records from this offset on were not looked at.
    var endOffset: Int64
    private(set) var isFull = false

    init(capacity: Int, startOffset: Int64) {
        self.capacity = capacity
        endOffset = startOffset
    }

    private static func hash(_ key: UnsafeRawBufferPointer) -> Key {
        var high = Hasher()
        high.combine(bytes: key)
        var low = high
        // Both are made from all of the key and differ in what follows it.
        high.combine(UInt8(1))
        low.combine(UInt64(2))
        return Key(high: high.finalize(), low: low.finalize())
    }

    func set(_ key: UnsafeRawBufferPointer, _ offset: Int64) {
        let hash = Self.hash(key)
        if offsets.count >= capacity, offsets[hash] == nil {
            isFull = true
            return
        }
        offsets[hash] = offset
    }

    func latestOffset(of key: UnsafeRawBufferPointer) -> Int64? {
        offsets[Self.hash(key)]
    }
}
