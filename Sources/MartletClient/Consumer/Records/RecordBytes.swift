/// A key or a value: bytes inside the memory of the batch that they came with, which stays as long as they do.
public struct RecordBytes: RandomAccessCollection, Sendable {
    // The storage keeps what it points to and nobody writes to it.
    private nonisolated(unsafe) let start: UnsafeRawPointer
    private let storage: RecordStorage
    /// The number of bytes.
    public let count: Int

    init(start: UnsafeRawPointer, count: Int, storage: RecordStorage) {
        self.start = start
        self.count = count
        self.storage = storage
    }

    /// 0.
    public var startIndex: Int { 0 }
    /// `count`.
    public var endIndex: Int { count }
    /// The byte at `index`.
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count, "there is no byte \(index) of \(count)")
        return withExtendedLifetime(storage) { start.load(fromByteOffset: index, as: UInt8.self) }
    }

    /// Calls `body` with the bytes, which must not be kept.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(storage) {} }
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The bytes where they are.
    public func withContiguousStorageIfAvailable<Result>(
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) rethrows -> Result? {
        defer { withExtendedLifetime(storage) {} }
        return try body(UnsafeBufferPointer(start: start.assumingMemoryBound(to: UInt8.self), count: count))
    }

    /// A copy.
    public var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
    /// The bytes as text; what is not UTF-8 becomes replacement characters.
    public var string: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}

extension RecordBytes: Equatable {
    /// Whether the bytes are the same.
    public static func == (a: RecordBytes, b: RecordBytes) -> Bool {
        a.withUnsafeBytes { a in b.withUnsafeBytes { b in a.elementsEqual(b) } }
    }
}
