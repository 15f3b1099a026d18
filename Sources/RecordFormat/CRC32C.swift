import CChecksum

/// CRC-32C of `bytes`, continuing from the checksum of the bytes before them (0 for none).
package func crc32c(_ bytes: UnsafeRawBufferPointer, continuing seed: UInt32 = 0) -> UInt32 {
    martlet_crc32c(seed, bytes.baseAddress, bytes.count)
}
