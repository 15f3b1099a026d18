/// Cuts a stream of bytes into lines, without their line feeds. A carriage return belongs to its line. What follows
/// the last line feed is a line too, unless it is empty.
struct LineSplitter {
    private var partial: [UInt8] = []

    /// Calls `body` with each line that ends in `bytes`.
    mutating func feed(_ bytes: [UInt8], _ body: (ArraySlice<UInt8>) throws -> Void) rethrows {
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            if partial.isEmpty {
                try body(bytes[start..<end])
            } else {
                partial += bytes[start..<end]
                let line = partial
                partial = []
                try body(line[...])
            }
            start = end + 1
        }
        partial += bytes[start...]
    }

    /// The last line, when it had no line feed.
    mutating func finish() -> [UInt8]? {
        defer { partial = [] }
        return partial.isEmpty ? nil : partial
    }
}
