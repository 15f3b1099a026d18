/// How a batch's records are compressed; the raw value is the codec's number in the attributes.
package enum CompressionCodec: Int8, CaseIterable, Sendable {
    case none = 0
    case gzip = 1
    case snappy = 2
    case lz4 = 3
    case zstd = 4

    /// Kafka's name of the codec in configurations.
    package var name: String {
        switch self {
        case .none: "none"
        case .gzip: "gzip"
        case .snappy: "snappy"
        case .lz4: "lz4"
        case .zstd: "zstd"
        }
    }

    /// The levels that `compress` takes; nil for the codecs without levels.
    package var levels: ClosedRange<Int>? {
        switch self {
        case .none, .snappy: nil
        case .gzip: -1...9  // -1, the topic's default, leaves it to zlib.
        case .lz4: 1...17
        case .zstd: -131_072...22
        }
    }

    package var defaultLevel: Int {
        switch self {
        case .none, .snappy: 0
        case .gzip: 6
        case .lz4: 9
        case .zstd: 3
        }
    }
}

/// Compresses and decompresses, keeping the libraries' working memory from call to call. For one thread at a time.
package final class Compressor {
    private let gzip = GzipCodec()
    private let lz4 = LZ4Codec()
    private let zstd = ZstdCodec()

    package init() {}

    /// Appends the compressed form of `source` to `output`.
    package func compress(
        _ source: UnsafeRawBufferPointer, with codec: CompressionCodec, level: Int? = nil, into output: ScratchBuffer
    ) throws(CompressionError) {
        let level = level ?? codec.defaultLevel
        if let levels = codec.levels, !levels.contains(level) { throw .levelOutOfRange }
        switch codec {
        case .none: output.append(source)
        case .gzip: try gzip.compress(source, level: level, into: output)
        case .snappy: try SnappyCodec.compress(source, into: output)
        case .lz4: try lz4.compress(source, level: level, into: output)
        case .zstd: try zstd.compress(source, level: level, into: output)
        }
    }

    /// Appends the content of `source` to `output`, at most `limit` bytes of it. Memory grows with what the source
    /// really holds, not with what it declares.
    package func decompress(
        _ source: UnsafeRawBufferPointer, with codec: CompressionCodec, limit: Int, into output: ScratchBuffer
    ) throws(CompressionError) {
        precondition(limit >= 0)
        switch codec {
        case .none:
            guard source.count <= limit else { throw .limitExceeded(limit: limit) }
            output.append(source)
        case .gzip: try gzip.decompress(source, limit: limit, into: output)
        case .snappy: try SnappyCodec.decompress(source, limit: limit, into: output)
        case .lz4: try lz4.decompress(source, limit: limit, into: output)
        case .zstd: try zstd.decompress(source, limit: limit, into: output)
        }
    }
}

extension ScratchBuffer {
    /// Room to write the next piece of a stream to: the free memory, at least one byte more than fits so that a
    /// stream of exactly `limit` bytes can be told from a longer one. `start` is where the stream began.
    func roomForNextPiece(of start: Int, limit: Int, hint: Int) -> UnsafeMutableRawBufferPointer {
        let produced = count - start
        // Doubling from four times the source keeps the copies few and hostile claims harmless.
        if capacity == count {
            reserve(count + min(max(hint, produced, 4096), limit - produced + 1))
        }
        let room = min(capacity - count, limit - produced + 1)
        return UnsafeMutableRawBufferPointer(rebasing: memory[count..<(count + room)])
    }
}
