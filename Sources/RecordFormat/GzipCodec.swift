import CZlib

/// The gzip format (RFC 1952), any number of members one after the other.
final class GzipCodec {
    private var deflater: UnsafeMutablePointer<z_stream>?
    private var deflaterLevel = 0
    private var inflater: UnsafeMutablePointer<z_stream>?

    deinit {
        if let deflater {
            deflateEnd(deflater)
            deflater.deallocate()
        }
        if let inflater {
            inflateEnd(inflater)
            inflater.deallocate()
        }
    }

    func compress(
        _ source: UnsafeRawBufferPointer, level: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        let stream = try readyDeflater(level: level)
        let bound = Int(deflateBound(stream, UInt(source.count)))
        output.reserve(output.count + bound)
        guard source.count <= Int(UInt32.max), bound <= Int(UInt32.max) else { throw .corrupt }
        stream.pointee.next_in = source.mutableBytes
        stream.pointee.avail_in = UInt32(source.count)
        stream.pointee.next_out = output.memory[output.count...].bytePointer
        stream.pointee.avail_out = UInt32(bound)
        guard deflate(stream, Z_FINISH) == Z_STREAM_END else { throw .corrupt }
        output.count += bound - Int(stream.pointee.avail_out)
    }

    func decompress(
        _ source: UnsafeRawBufferPointer, limit: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        let stream = try readyInflater()
        guard source.count <= Int(UInt32.max) else { throw .corrupt }
        stream.pointee.next_in = source.mutableBytes
        stream.pointee.avail_in = UInt32(source.count)
        let start = output.count
        while true {
            let room = output.roomForNextPiece(of: start, limit: limit, hint: source.count * 4)
            let size = min(room.count, Int(UInt32.max))
            stream.pointee.next_out = room[...].bytePointer
            stream.pointee.avail_out = UInt32(size)
            let status = inflate(stream, Z_NO_FLUSH)
            output.count += size - Int(stream.pointee.avail_out)
            guard output.count - start <= limit else { throw .limitExceeded(limit: limit) }
            switch status {
            case Z_STREAM_END:
                if stream.pointee.avail_in == 0 { return }
                guard inflateReset(stream) == Z_OK else { throw .corrupt }
            case Z_OK:
                // No progress is possible without input, unless the output was full.
                if stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 { throw .corrupt }
            case Z_MEM_ERROR:
                throw .outOfMemory
            default:
                throw .corrupt
            }
        }
    }

    private func readyDeflater(level: Int) throws(CompressionError) -> UnsafeMutablePointer<z_stream> {
        if let deflater, deflaterLevel == level {
            guard deflateReset(deflater) == Z_OK else { throw .outOfMemory }
            return deflater
        }
        if let deflater { deflateEnd(deflater) }
        let stream = deflater ?? .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard martlet_deflate_init_gzip(stream, Int32(level)) == Z_OK else {
            stream.deallocate()
            deflater = nil
            throw .outOfMemory
        }
        deflater = stream
        deflaterLevel = level
        return stream
    }

    private func readyInflater() throws(CompressionError) -> UnsafeMutablePointer<z_stream> {
        if let inflater {
            guard inflateReset(inflater) == Z_OK else { throw .outOfMemory }
            return inflater
        }
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard martlet_inflate_init_gzip(stream) == Z_OK else {
            stream.deallocate()
            throw .outOfMemory
        }
        inflater = stream
        return stream
    }
}

extension UnsafeRawBufferPointer {
    /// For a C interface that forgot const.
    fileprivate var mutableBytes: UnsafeMutablePointer<UInt8>? {
        UnsafeMutablePointer(mutating: baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
}

extension Slice where Base == UnsafeMutableRawBufferPointer {
    fileprivate var bytePointer: UnsafeMutablePointer<UInt8>? {
        UnsafeMutableRawBufferPointer(rebasing: self).baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
}
