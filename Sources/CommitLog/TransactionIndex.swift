import RecordFormat

/// A transaction that was aborted. 34 bytes in `.txnindex`.
package struct AbortedTransaction: Equatable, Sendable {
    static let byteCount = 34

    package var producerId: Int64
    package var firstOffset: Int64
    /// The abort marker's offset.
    package var lastOffset: Int64
    /// What the last stable offset became by the abort.
    package var lastStableOffset: Int64

    package init(producerId: Int64, firstOffset: Int64, lastOffset: Int64, lastStableOffset: Int64) {
        self.producerId = producerId
        self.firstOffset = firstOffset
        self.lastOffset = lastOffset
        self.lastStableOffset = lastStableOffset
    }

    init?(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        guard bytes.loadBigEndian(at: position, as: Int16.self) == 0 else { return nil }
        producerId = bytes.loadBigEndian(at: position + 2)
        firstOffset = bytes.loadBigEndian(at: position + 10)
        lastOffset = bytes.loadBigEndian(at: position + 18)
        lastStableOffset = bytes.loadBigEndian(at: position + 26)
    }

    func append(to bytes: inout [UInt8]) {
        bytes.appendBigEndian(Int16(0))
        bytes.appendBigEndian(producerId)
        bytes.appendBigEndian(firstOffset)
        bytes.appendBigEndian(lastOffset)
        bytes.appendBigEndian(lastStableOffset)
    }
}

/// `.txnindex`: a segment's aborted transactions, by the offset of their markers. All in memory, since aborts are
/// rare; the file is made with the first. Under its log's lock.
final class TransactionIndex {
    let path: String
    private let fileSystem: any FileSystem
    private(set) var entries: [AbortedTransaction] = []
    private var writtenCount = 0
    private var isDurable = true
    private var file: (any File)?

    private init(_ path: String, _ fileSystem: any FileSystem) {
        self.path = path
        self.fileSystem = fileSystem
    }

    /// An index without entries, removing what the file holds.
    init(emptyAt path: String, _ fileSystem: any FileSystem) throws(FileSystemError) {
        self.path = path
        self.fileSystem = fileSystem
        try fileSystem.removeFileIfPresent(path)
    }

    /// nil when the file is not a whole number of entries in order.
    static func open(_ path: String, _ fileSystem: any FileSystem) throws(FileSystemError) -> TransactionIndex? {
        let index = TransactionIndex(path, fileSystem)
        guard let bytes = try fileSystem.contents(of: path) else { return index }
        guard bytes.count % AbortedTransaction.byteCount == 0 else { return nil }
        for position in stride(from: 0, to: bytes.count, by: AbortedTransaction.byteCount) {
            guard let entry = bytes.withUnsafeBytes({ AbortedTransaction($0, at: position) }),
                entry.firstOffset <= entry.lastOffset, entry.lastOffset > index.entries.last?.lastOffset ?? -1
            else { return nil }
            index.entries.append(entry)
        }
        index.writtenCount = index.entries.count
        return index
    }

    func append(_ transaction: AbortedTransaction) {
        entries.append(transaction)
    }

    func write() throws(FileSystemError) {
        guard writtenCount < entries.count else { return }
        var bytes: [UInt8] = []
        for entry in entries[writtenCount...] { entry.append(to: &bytes) }
        isDurable = false
        try openFile().writeAll(bytes, at: Int64(writtenCount * AbortedTransaction.byteCount))
        writtenCount = entries.count
    }

    /// The file, if its content may not be durable yet; the caller synchronizes it outside the log's lock.
    func takeFileToSynchronize() throws(FileSystemError) -> (any File)? {
        try write()
        guard !isDurable else { return nil }
        isDurable = true
        return try openFile()
    }

    func truncate(to offset: Int64) throws(FileSystemError) {
        let kept = entries.prefix { $0.lastOffset < offset }.count
        guard kept < entries.count else { return }
        entries.removeSubrange(kept...)
        if writtenCount > kept {
            writtenCount = kept
            try openFile().truncate(to: Int64(kept * AbortedTransaction.byteCount))
            isDurable = false
        }
    }

    private func openFile() throws(FileSystemError) -> any File {
        if let file { return file }
        let opened = try fileSystem.open(path, .create)
        file = opened
        return opened
    }
}
