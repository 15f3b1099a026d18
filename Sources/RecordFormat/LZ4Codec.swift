import CLZ4

/// The LZ4 frame format with independent blocks of 64 KiB, as Kafka's clients write it.
final class LZ4Codec {
    private var decompression: OpaquePointer?

    deinit {
        LZ4F_freeDecompressionContext(decompression)
    }

    func compress(
        _ source: UnsafeRawBufferPointer, level: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        var preferences = LZ4F_preferences_t()
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        // Kafka's level 9 is its default and its fastest-but-one trade; the library's own levels start at 3.
        preferences.compressionLevel = Int32(level)
        let bound = LZ4F_compressFrameBound(source.count, &preferences)
        output.reserve(output.count + bound)
        let written = LZ4F_compressFrame(
            output.memory.baseAddress! + output.count, bound, source.baseAddress, source.count, &preferences)
        guard LZ4F_isError(written) == 0 else { throw .corrupt }
        output.count += written
    }

    func decompress(
        _ source: UnsafeRawBufferPointer, limit: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        if decompression == nil {
            guard LZ4F_isError(LZ4F_createDecompressionContext(&decompression, UInt32(LZ4F_VERSION))) == 0 else {
                throw .outOfMemory
            }
        }
        LZ4F_resetDecompressionContext(decompression)
        let start = output.count
        var position = 0
        var expected = 1
        while expected != 0 || position < source.count {
            let room = output.roomForNextPiece(of: start, limit: limit, hint: source.count * 4)
            var produced = room.count
            var consumed = source.count - position
            expected = LZ4F_decompress(
                decompression, room.baseAddress, &produced,
                source.baseAddress.map { $0 + position }, &consumed, nil)
            guard LZ4F_isError(expected) == 0 else { throw .corrupt }
            output.count += produced
            position += consumed
            guard output.count - start <= limit else { throw .limitExceeded(limit: limit) }
            if produced == 0, consumed == 0 { throw .corrupt }
        }
    }
}
