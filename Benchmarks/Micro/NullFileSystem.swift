import CommitLog
import Glibc
import Synchronization

/// Files that take everything and keep only their size: what is measured is the program, not the disk.
final class NullFileSystem: FileSystem {
    func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        if mode == .read || mode == .readWrite { throw FileSystemError(.open, path, code: ENOENT) }
        return NullFile()
    }

    func status(of path: String) throws(FileSystemError) -> FileStatus? { nil }
    func list(_ path: String) throws(FileSystemError) -> [String] { [] }
    func createDirectory(_ path: String) throws(FileSystemError) {}
    func rename(_ path: String, to target: String) throws(FileSystemError) {}
    func removeFile(_ path: String) throws(FileSystemError) {}
    func removeDirectory(_ path: String) throws(FileSystemError) {}
    func synchronizeDirectory(_ path: String) throws(FileSystemError) {}
    func lock(_ path: String) throws(FileSystemError) -> AnyObject? { NullFile() }
}

private final class NullFile: File {
    private let length = Atomic<Int64>(0)

    var descriptor: Int32? { nil }
    func size() throws(FileSystemError) -> Int64 { length.load(ordering: .relaxed) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(FileSystemError) -> Int {
        max(0, min(buffer.count, Int(length.load(ordering: .relaxed) - position)))
    }

    func write(_ pieces: UnsafeBufferPointer<iovec>, at position: Int64) throws(FileSystemError) -> Int {
        let count = pieces.reduce(0) { $0 + $1.iov_len }
        length.store(max(length.load(ordering: .relaxed), position + Int64(count)), ordering: .relaxed)
        return count
    }

    func synchronize() throws(FileSystemError) {}
    func truncate(to size: Int64) throws(FileSystemError) { length.store(size, ordering: .relaxed) }
    func preallocate(from position: Int64, count: Int64) throws(FileSystemError) {}
}
