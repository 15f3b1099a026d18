import CChecksum
import RecordFormat
import Testing

@Suite struct ChecksumTests {
    /// The definition, bit by bit.
    func reference(_ bytes: some Sequence<UInt8>, continuing seed: UInt32) -> UInt32 {
        var crc = ~seed
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return ~crc
    }

    @Test func theStandardsExample() {
        #expect(Array("123456789".utf8).withUnsafeBytes { crc32c($0) } == 0xE306_9283)
        #expect(crc32c(UnsafeRawBufferPointer(start: nil, count: 0)) == 0)
    }

    /// Every version that runs here, every alignment, lengths through all block sizes.
    @Test func everyVersionAgreesWithTheDefinition() {
        let bytes = (0..<14_000).map { UInt8(truncatingIfNeeded: $0 &* 131 ^ ($0 >> 3)) }
        let lengths = Array(0..<600) + [767, 768, 769, 1023, 1024, 1025, 2303, 2304, 6143, 6144, 6145, 12_288, 13_000]
        for (index, length) in lengths.enumerated() {
            for alignment in length < 80 ? Array(0..<16) : [index % 16, (index * 7) % 16] {
                let seed = UInt32(truncatingIfNeeded: length &* 2_654_435_761)
                let expected = reference(bytes[alignment..<alignment + length], continuing: seed)
                bytes.withUnsafeBytes { buffer in
                    let part = UnsafeRawBufferPointer(rebasing: buffer[alignment..<alignment + length])
                    #expect(crc32c(part, continuing: seed) == expected, "length \(length)")
                    for version in 0..<martlet_crc32c_variant_count() {
                        let found = martlet_crc32c_variant(version, seed, part.baseAddress, length)
                        #expect(
                            found == expected,
                            "\(String(cString: martlet_crc32c_variant_name(version))), length \(length)")
                    }
                }
            }
        }
    }
}
