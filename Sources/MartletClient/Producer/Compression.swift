import RecordFormat

/// How batches are compressed (`compression.type` and `compression.*.level`).
public struct Compression: Sendable, Hashable {
    let codec: CompressionCodec
    let level: Int?

    private init(_ codec: CompressionCodec, _ level: Int?) {
        self.codec = codec
        self.level = level
    }

    /// As it is.
    public static let none = Compression(.none, nil)
    /// Fast, with little gain.
    public static let snappy = Compression(.snappy, nil)
    /// Fast.
    public static let lz4 = Compression(.lz4, nil)
    /// The best ratio for its time.
    public static let zstd = Compression(.zstd, nil)
    /// For consumers that know nothing else.
    public static let gzip = Compression(.gzip, nil)

    /// LZ4 at a level of 1 to 17.
    public static func lz4(level: Int) -> Compression { Compression(.lz4, level) }
    /// Zstandard at a level of -131,072 to 22.
    public static func zstd(level: Int) -> Compression { Compression(.zstd, level) }
    /// Gzip at a level of 1 to 9; -1 leaves it to the library.
    public static func gzip(level: Int) -> Compression { Compression(.gzip, level) }

    var isLevelValid: Bool {
        guard let level else { return true }
        return codec.levels?.contains(level) ?? false
    }
}
