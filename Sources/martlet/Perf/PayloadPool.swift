/// Values of letters, so that codecs find about as much to do as with text, made before the clock runs.
struct PayloadPool {
    private let values: [[UInt8]]

    /// The same values in every run.
    init(size: Int) {
        var generator = LetterGenerator(state: 0x9E37_79B9_7F4A_7C15)
        // Some megabytes at the most.
        let count = max(1, min(1000, (4 << 20) / max(1, size)))
        values = (0..<count).map { _ in (0..<size).map { _ in UInt8(ascii: "A") + UInt8(generator.next() % 26) } }
    }

    subscript(index: Int) -> [UInt8] { values[index % values.count] }
}

/// xorshift64*.
private struct LetterGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return (state &* 0x2545_F491_4F6C_DD1D) >> 32
    }
}
