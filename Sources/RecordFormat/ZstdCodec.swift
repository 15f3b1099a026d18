import CZstd

/// Zstandard frames (RFC 8878).
final class ZstdCodec {
    private var compression: OpaquePointer?
    private var decompression: OpaquePointer?

    deinit {
        ZSTD_freeCCtx(compression)
        ZSTD_freeDCtx(decompression)
    }

    func compress(
        _ source: UnsafeRawBufferPointer, level: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        if compression == nil { compression = ZSTD_createCCtx() }
        guard let compression else { throw .outOfMemory }
        let bound = ZSTD_compressBound(source.count)
        output.reserve(output.count + bound)
        let written = ZSTD_compressCCtx(
            compression, output.memory.baseAddress! + output.count, bound, source.baseAddress, source.count,
            Int32(level))
        guard ZSTD_isError(written) == 0 else { throw .corrupt }
        output.count += written
    }

    func decompress(
        _ source: UnsafeRawBufferPointer, limit: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        if decompression == nil { decompression = ZSTD_createDCtx() }
        guard let decompression else { throw .outOfMemory }
        ZSTD_DCtx_reset(decompression, ZSTD_reset_session_only)
        let start = output.count
        var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
        // Not 0 while a frame is unfinished.
        var expected = 1
        while expected != 0 || input.pos < input.size {
            let room = output.roomForNextPiece(of: start, limit: limit, hint: source.count * 4)
            var target = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
            let before = input.pos
            expected = ZSTD_decompressStream(decompression, &target, &input)
            guard ZSTD_isError(expected) == 0 else {
                throw ZSTD_getErrorCode(expected) == ZSTD_error_memory_allocation ? .outOfMemory : .corrupt
            }
            output.count += target.pos
            guard output.count - start <= limit else { throw .limitExceeded(limit: limit) }
            if target.pos == 0, input.pos == before { throw .corrupt }
        }
    }
}
