import RecordFormat

/// Walks over the headers of the batches in a file. Reads ahead a little, so that small batches share a read and of
/// large ones only the headers are read.
struct BatchScanner {
    /// What a walk found at a position.
    struct Found: Equatable {
        var header: RecordBatchHeader
        var position: Int64
        var nextPosition: Int64 { position + Int64(header.totalLength) }
    }

    static let windowLength = 8192

    private let file: any File
    private let end: Int64
    private var position: Int64
    private let window: UnsafeMutableRawBufferPointer
    private var windowStart: Int64 = 0
    private var windowCount = 0

    /// Calls `body` with a scanner of the bytes `range` of `file`.
    static func scan<Result>(
        _ file: any File, _ range: Range<Int64>,
        _ body: (inout BatchScanner) throws(FileSystemError) -> Result
    ) throws(FileSystemError) -> Result {
        var failure: FileSystemError?
        let result = withUnsafeTemporaryAllocation(byteCount: windowLength, alignment: 8) { window -> Result? in
            var scanner = BatchScanner(
                file: file, end: range.upperBound, position: range.lowerBound, window: window)
            do throws(FileSystemError) {
                return try body(&scanner)
            } catch {
                failure = error
                return nil
            }
        }
        if let failure { throw failure }
        guard let result else { preconditionFailure("a scan ends with a result or a failure") }
        return result
    }

    private init(file: any File, end: Int64, position: Int64, window: UnsafeMutableRawBufferPointer) {
        self.file = file
        self.end = end
        self.position = position
        self.window = window
    }

    /// The next batch; nil at the end, or where what follows is not a whole batch with a sound header.
    mutating func next() throws(FileSystemError) -> Found? {
        guard end - position >= RecordBatchHeader.byteCount else { return nil }
        if position < windowStart || position + Int64(RecordBatchHeader.byteCount) > windowStart + Int64(windowCount) {
            let count = min(Int64(window.count), end - position)
            windowCount = try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: window[..<Int(count)]), at: position)
            windowStart = position
            guard windowCount >= RecordBatchHeader.byteCount else { return nil }
        }
        let start = Int(position - windowStart)
        guard let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: window[start..<windowCount])),
            header.magic == RecordBatchHeader.currentMagic,
            header.totalLength >= RecordBatchHeader.byteCount, Int64(header.totalLength) <= end - position,
            header.baseOffset >= 0, header.lastOffsetDelta >= 0, header.lastOffset >= header.baseOffset
        else { return nil }
        let found = Found(header: header, position: position)
        position = found.nextPosition
        return found
    }
}
