import RecordFormat
import Testing

/// A small seeded generator.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

@Suite struct CompressionTests {
    let compressor = Compressor()

    func compress(_ bytes: [UInt8], _ codec: CompressionCodec, level: Int? = nil) throws -> [UInt8] {
        let output = ScratchBuffer()
        try bytes.withUnsafeBytes { try compressor.compress($0, with: codec, level: level, into: output) }
        return Array(output.bytes)
    }

    func decompress(_ bytes: [UInt8], _ codec: CompressionCodec, limit: Int = 1 << 24) throws -> [UInt8] {
        let output = ScratchBuffer()
        try bytes.withUnsafeBytes { try compressor.decompress($0, with: codec, limit: limit, into: output) }
        // A hostile input may cost what it holds, not what it claims.
        #expect(output.capacity <= max(4 * bytes.count, 2 * output.count, 4096) + 1 << 17)
        return Array(output.bytes)
    }

    @Test(arguments: CompressionCodec.allCases) func everyLengthComesBack(codec: CompressionCodec) throws {
        var random = Seeded(3)
        for length in [1, 2, 61, 1000, 32_768, 32_769, 65_536, 200_000, 1_000_000] {
            let repetitive = (0..<length).map { UInt8(truncatingIfNeeded: $0 / 9) }
            let noise = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            for bytes in [repetitive, noise] {
                #expect(try decompress(try compress(bytes, codec), codec) == bytes)
            }
        }
    }

    @Test func levelsAreChecked() throws {
        let bytes = Array(repeating: UInt8(7), count: 5000)
        for codec in CompressionCodec.allCases {
            guard let levels = codec.levels else { continue }
            #expect(throws: CompressionError.levelOutOfRange) {
                try compress(bytes, codec, level: levels.upperBound + 1)
            }
            for level in [levels.lowerBound, levels.upperBound] {
                #expect(try decompress(try compress(bytes, codec, level: level), codec) == bytes)
            }
        }
    }

    @Test(arguments: CompressionCodec.allCases) func theLimitIsExact(codec: CompressionCodec) throws {
        let bytes = Array(repeating: UInt8(0), count: 300_000)
        let packed = try compress(bytes, codec)
        #expect(try decompress(packed, codec, limit: 300_000) == bytes)
        #expect(throws: CompressionError.limitExceeded(limit: 299_999)) {
            try decompress(packed, codec, limit: 299_999)
        }
    }

    @Test func membersOneAfterTheOtherAreOneStream() throws {
        for codec in [CompressionCodec.gzip, .lz4, .zstd] {
            let two = try compress([1, 2, 3], codec) + compress([4, 5], codec)
            #expect(try decompress(two, codec) == [1, 2, 3, 4, 5])
        }
    }

    @Test func bareSnappyIsRead() throws {
        // A length of 5 and one literal.
        #expect(try decompress([5, 4 << 2, 1, 2, 3, 4, 5], .snappy) == [1, 2, 3, 4, 5])
        // A claim of 256 MiB in six bytes.
        #expect(throws: CompressionError.self) {
            try decompress([0x80, 0x80, 0x80, 0x80, 1, 0], .snappy, limit: 1 << 30)
        }
    }

    /// Damaged input ends in an error or in other bytes, never in a trap or a large allocation.
    @Test(arguments: CompressionCodec.allCases) func damageIsContained(codec: CompressionCodec) throws {
        var random = Seeded(11)
        let bytes = (0..<3000).map { UInt8(truncatingIfNeeded: $0 / 5) }
        let packed = try compress(bytes, codec)
        for _ in 0..<3000 {
            var damaged = packed
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                switch Int.random(in: 0..<3, using: &random) {
                case 0:
                    damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(in: 0...255, using: &random)
                case 1: damaged.removeLast(Int.random(in: 0..<damaged.count, using: &random))
                default:
                    damaged.insert(
                        .random(in: 0...255, using: &random), at: Int.random(in: 0..<damaged.count, using: &random))
                }
                if damaged.isEmpty { damaged = [0] }
            }
            do {
                #expect(try decompress(damaged, codec, limit: 100_000).count <= 100_000)
            } catch is CompressionError {}
        }
    }

    @Test(arguments: [CompressionCodec.gzip, .snappy, .lz4, .zstd]) func aCutStreamIsAnError(codec: CompressionCodec)
        throws
    {
        let packed = try compress((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7 / 5) }, codec)
        // xerial's frame can end after any block, and a bare header is an empty stream.
        for length in 1..<packed.count where codec != .snappy || length != 16 {
            #expect(throws: CompressionError.self) { try decompress(Array(packed[..<length]), codec) }
        }
    }
}
