/// A record of `__consumer_offsets` as bytes. A nil value is a tombstone: compaction forgets the key.
package struct CoordinatorRecord: Sendable, Hashable {
    package let key: [UInt8]
    package let value: [UInt8]?

    package init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}
