/// MurmurHash2 with 32 bits and Kafka's seed, as its partitioner uses it (org.apache.kafka.common.utils.Utils.murmur2).
package func murmur2(_ bytes: some Sequence<UInt8> & RandomAccessCollection<UInt8>) -> UInt32 {
    let multiplier: UInt32 = 0x5bd1_e995
    var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
    var index = bytes.startIndex
    var remaining = bytes.count
    func byte(_ offset: Int) -> UInt32 { UInt32(bytes[bytes.index(index, offsetBy: offset)]) }
    while remaining >= 4 {
        var word = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        word = word &* multiplier
        word ^= word >> 24
        hash = (hash &* multiplier) ^ (word &* multiplier)
        index = bytes.index(index, offsetBy: 4)
        remaining -= 4
    }
    if remaining > 0 {
        if remaining == 3 { hash ^= byte(2) << 16 }
        if remaining >= 2 { hash ^= byte(1) << 8 }
        hash = (hash ^ byte(0)) &* multiplier
    }
    hash ^= hash >> 13
    hash = hash &* multiplier
    return hash ^ hash >> 15
}
