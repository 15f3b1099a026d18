import CSnappy

/// Snappy in the frame of the xerial Java library, which is what Kafka means by snappy: a 16-byte header and blocks,
/// each behind its compressed length. Bare snappy is read as well; some clients send it.
enum SnappyCodec {
    private static let magic: [UInt8] = [0x82, 0x53, 0x4E, 0x41, 0x50, 0x50, 0x59, 0x00]
    private static let headerLength = 16
    private static let blockLength = 32 * 1024

    static func compress(_ source: UnsafeRawBufferPointer, into output: ScratchBuffer) throws(CompressionError) {
        output.reserve(output.count + headerLength)
        magic.withUnsafeBytes { output.append($0) }
        // The version and the oldest version that can read it.
        for _ in 0..<2 {
            withUnsafeBytes(of: UInt32(1).bigEndian) { output.append($0) }
        }
        var position = 0
        while position < source.count {
            let block = source.slice(position..<min(position + blockLength, source.count))
            var length = snappy_max_compressed_length(block.count)
            output.reserve(output.count + 4 + length)
            let target = UnsafeMutableRawBufferPointer(rebasing: output.memory[output.count...])
            let status = snappy_compress(
                block.baseAddress?.assumingMemoryBound(to: CChar.self), block.count,
                (target.baseAddress! + 4).assumingMemoryBound(to: CChar.self), &length)
            guard status == SNAPPY_OK else { throw .corrupt }
            target.storeBigEndian(UInt32(length), at: 0)
            output.count += 4 + length
            position += block.count
        }
    }

    static func decompress(
        _ source: UnsafeRawBufferPointer, limit: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        guard source.count >= headerLength, source[..<magic.count].elementsEqual(magic) else {
            return try decompressBlock(source, limit: limit, spent: 0, into: output)
        }
        let start = output.count
        var position = headerLength
        while position < source.count {
            guard source.count - position >= 4 else { throw .corrupt }
            let length = Int(source.loadBigEndian(at: position, as: UInt32.self))
            position += 4
            guard length <= source.count - position else { throw .corrupt }
            try decompressBlock(
                source.slice(position..<(position + length)), limit: limit, spent: output.count - start, into: output)
            position += length
        }
    }

    private static func decompressBlock(
        _ block: UnsafeRawBufferPointer, limit: Int, spent: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        let bytes = block.baseAddress?.assumingMemoryBound(to: CChar.self)
        var length = 0
        guard block.count > 0, snappy_uncompressed_length(bytes, block.count, &length) == SNAPPY_OK else {
            throw .corrupt
        }
        guard length <= limit - spent else { throw .limitExceeded(limit: limit) }
        // A copy of 64 bytes in three is the densest that snappy gets, so a greater claim lies.
        guard length <= block.count * 32 else { throw .corrupt }
        output.reserve(output.count + max(length, 1))
        let target = (output.memory.baseAddress! + output.count).assumingMemoryBound(to: CChar.self)
        guard snappy_uncompress(bytes, block.count, target, &length) == SNAPPY_OK else { throw .corrupt }
        output.count += length
    }
}
