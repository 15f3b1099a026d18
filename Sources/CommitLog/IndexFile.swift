import RecordFormat

/// One fixed-size entry of an index file.
protocol IndexEntry: Equatable, Sendable {
    static var byteCount: Int { get }
    init(_ bytes: UnsafeRawBufferPointer, at position: Int)
    func write(to bytes: UnsafeMutableRawBufferPointer, at position: Int)
    /// Whether this may stand after `other`; what follows the last such entry is padding or damage.
    func mayFollow(_ other: Self) -> Bool
}

/// `.index`: the last offset of a batch, relative to the segment's base, and where the batch starts.
struct OffsetIndexEntry: IndexEntry {
    static let byteCount = 8
    var relativeOffset: Int32
    var position: Int32

    init(relativeOffset: Int32, position: Int32) {
        self.relativeOffset = relativeOffset
        self.position = position
    }

    init(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        relativeOffset = bytes.loadBigEndian(at: position)
        self.position = bytes.loadBigEndian(at: position + 4)
    }

    func write(to bytes: UnsafeMutableRawBufferPointer, at position: Int) {
        bytes.storeBigEndian(relativeOffset, at: position)
        bytes.storeBigEndian(self.position, at: position + 4)
    }

    func mayFollow(_ other: Self) -> Bool {
        relativeOffset > other.relativeOffset && position > other.position
    }
}

/// `.timeindex`: the largest timestamp so far, and the last offset of its batch relative to the segment's base.
struct TimeIndexEntry: IndexEntry {
    static let byteCount = 12
    var timestamp: Int64
    var relativeOffset: Int32

    init(timestamp: Int64, relativeOffset: Int32) {
        self.timestamp = timestamp
        self.relativeOffset = relativeOffset
    }

    init(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        timestamp = bytes.loadBigEndian(at: position)
        relativeOffset = bytes.loadBigEndian(at: position + 8)
    }

    func write(to bytes: UnsafeMutableRawBufferPointer, at position: Int) {
        bytes.storeBigEndian(timestamp, at: position)
        bytes.storeBigEndian(relativeOffset, at: position + 8)
    }

    func mayFollow(_ other: Self) -> Bool {
        timestamp > other.timestamp && relativeOffset >= other.relativeOffset
    }
}

/// A sorted index file. The active segment's entries are in memory and written in pieces; a sealed segment's are read
/// from the file, a few entries a search. Under its log's lock, but for `search` of a sealed index.
final class IndexFile<Entry: IndexEntry> {
    let path: String
    private let fileSystem: any FileSystem
    private(set) var count: Int
    private(set) var last: Entry?
    /// nil when sealed.
    private var entries: [Entry]?
    private var writtenCount: Int
    private var isDurable: Bool
    private var file: (any File)?

    /// How many entries may wait in memory before they are written.
    private let writeEvery = 512

    /// An index without entries, replacing what the file holds.
    init(emptyAt path: String, _ fileSystem: any FileSystem) throws(FileSystemError) {
        self.path = path
        self.fileSystem = fileSystem
        count = 0
        entries = []
        writtenCount = 0
        isDurable = false
        file = try fileSystem.open(path, .replace)
    }

    private init(path: String, fileSystem: any FileSystem, file: any File, entries: [Entry]) {
        self.path = path
        self.fileSystem = fileSystem
        self.file = file
        self.entries = entries
        count = entries.count
        last = entries.last
        writtenCount = entries.count
        isDurable = true
    }

    /// Opens an existing index. nil when it is not there or is not a whole number of sorted entries, padding with
    /// zeros at the end aside.
    static func open(_ path: String, _ fileSystem: any FileSystem, limit: Int) throws(FileSystemError) -> IndexFile? {
        guard let bytes = try fileSystem.contents(of: path, limit: limit) else { return nil }
        guard bytes.count % Entry.byteCount == 0 else { return nil }
        var entries: [Entry] = []
        entries.reserveCapacity(bytes.count / Entry.byteCount)
        let sound = bytes.withUnsafeBytes { buffer in
            for position in stride(from: 0, to: buffer.count, by: Entry.byteCount) {
                let entry = Entry(buffer, at: position)
                if let last = entries.last, !entry.mayFollow(last) {
                    // Kafka maps the active segment's index at its full size.
                    return buffer[position...].allSatisfy { $0 == 0 }
                }
                entries.append(entry)
            }
            return true
        }
        guard sound else { return nil }
        // One entry of zeros is padding too: the first batch of a segment is never indexed.
        if entries.count == 1, bytes.allSatisfy({ $0 == 0 }) { entries = [] }
        return IndexFile(
            path: path, fileSystem: fileSystem, file: try fileSystem.open(path, .readWrite), entries: entries)
    }

    /// Closes the file until something is written to it again: a thousand quiet partitions need not hold two files each.
    /// Only where the file keeps its name, so not for a segment that is being compacted.
    func releaseFile() {
        if isActive { file = nil }
    }

    var isActive: Bool { entries != nil }

    func append(_ entry: Entry) throws(FileSystemError) {
        precondition(entries != nil, "an index is sealed when its segment is")
        if let last, !entry.mayFollow(last) { return }
        entries?.append(entry)
        last = entry
        count += 1
        if count - writtenCount >= writeEvery { try write() }
    }

    /// Writes what waits in memory.
    func write() throws(FileSystemError) {
        guard let entries, writtenCount < count else { return }
        var bytes = [UInt8](repeating: 0, count: (count - writtenCount) * Entry.byteCount)
        bytes.withUnsafeMutableBytes { buffer in
            for index in writtenCount..<count {
                entries[index].write(to: buffer, at: (index - writtenCount) * Entry.byteCount)
            }
        }
        isDurable = false
        try openFile().writeAll(bytes, at: Int64(writtenCount * Entry.byteCount))
        writtenCount = count
    }

    /// The file, if its content may not be durable yet; the caller synchronizes it outside the log's lock.
    func takeFileToSynchronize() throws(FileSystemError) -> (any File)? {
        try write()
        guard !isDurable else { return nil }
        isDurable = true
        return try openFile()
    }

    /// Writes the rest, cuts the file to its entries and forgets them.
    func seal() throws(FileSystemError) {
        try write()
        let file = try openFile()
        if try file.size() != Int64(count * Entry.byteCount) {
            try file.truncate(to: Int64(count * Entry.byteCount))
            isDurable = false
        }
        entries = nil
    }

    /// Keeps the entries for which `isKept` holds, which must be all those before some point.
    func truncate(keeping isKept: (Entry) -> Bool) throws(FileSystemError) {
        try load()
        while let entry = entries?.last, !isKept(entry) { entries?.removeLast() }
        count = entries?.count ?? 0
        last = entries?.last
        writtenCount = min(writtenCount, count)
        try openFile().truncate(to: Int64(writtenCount * Entry.byteCount))
        isDurable = false
    }

    /// Takes a sealed index into memory again.
    func load() throws(FileSystemError) {
        guard entries == nil else { return }
        var loaded: [Entry] = []
        try Self.read(openFile(), 0..<count) { loaded.append($0) }
        entries = loaded
        writtenCount = count
    }

    /// How a search goes on outside the log's lock.
    enum Search {
        case found(Entry?)
        case inFile(any File, count: Int)
    }

    /// Begins to look for the last entry for which `isBefore` holds, which must be all those before some point.
    func beginSearch(_ isBefore: (Entry) -> Bool) throws(FileSystemError) -> Search {
        guard let entries else {
            if count == 0 { return .found(nil) }
            return .inFile(try openFile(), count: count)
        }
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(entries[middle]) { low = middle + 1 } else { high = middle }
        }
        return .found(low == 0 ? nil : entries[low - 1])
    }

    /// The end of a search, which may read from the file.
    static func finish(_ search: Search, _ isBefore: (Entry) -> Bool) throws(FileSystemError) -> Entry? {
        switch search {
        case .found(let entry): return entry
        case .inFile(let file, let count):
            var low = 0
            var high = count
            var best: Entry?
            while high - low > 256 {
                let middle = (low + high) / 2
                var probe: Entry?
                try read(file, middle..<middle + 1) { probe = $0 }
                guard let probe else { break }
                if isBefore(probe) {
                    best = probe
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            try read(file, low..<high) { if isBefore($0) { best = $0 } }
            return best
        }
    }

    func find(_ isBefore: (Entry) -> Bool) throws(FileSystemError) -> Entry? {
        try Self.finish(try beginSearch(isBefore), isBefore)
    }

    private static func read(
        _ file: any File, _ range: Range<Int>, _ body: (Entry) -> Void
    ) throws(FileSystemError) {
        var failure: FileSystemError?
        withUnsafeTemporaryAllocation(byteCount: range.count * Entry.byteCount, alignment: 8) { buffer in
            do throws(FileSystemError) {
                let count = try file.read(into: buffer, at: Int64(range.lowerBound * Entry.byteCount))
                let bytes = UnsafeRawBufferPointer(buffer)
                for position in stride(from: 0, to: count - count % Entry.byteCount, by: Entry.byteCount) {
                    body(Entry(bytes, at: position))
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private func openFile() throws(FileSystemError) -> any File {
        if let file { return file }
        let opened = try fileSystem.open(path, .create)
        file = opened
        return opened
    }
}
