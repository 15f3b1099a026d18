/// MurmurHash2 with 32 bits and Kafka's seed, as its partitioner uses it (org.apache.kafka.common.utils.Utils.murmur2).
package func murmur2(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    let multiplier: UInt32 = 0x5bd1_e995
    var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
    var position = 0
    while bytes.count - position >= 4 {
        var word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
        word = word &* multiplier
        word ^= word >> 24
        hash = (hash &* multiplier) ^ (word &* multiplier)
        position += 4
    }
    let remaining = bytes.count - position
    if remaining > 0 {
        if remaining == 3 { hash ^= UInt32(bytes[position + 2]) << 16 }
        if remaining >= 2 { hash ^= UInt32(bytes[position + 1]) << 8 }
        hash = (hash ^ UInt32(bytes[position])) &* multiplier
    }
    hash ^= hash >> 13
    hash = hash &* multiplier
    return hash ^ hash >> 15
}
