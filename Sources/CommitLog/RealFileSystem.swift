import CChecksum
import Glibc

/// The operating system's files.
package final class RealFileSystem: FileSystem {
    package init() {}

    package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT
            case .replace: O_RDWR | O_CREAT | O_TRUNC
            }
        let descriptor = try retrying(.open, path) { Glibc.open(path, flags | O_CLOEXEC, 0o644) }
        return RealFile(descriptor: descriptor, path: path)
    }

    package func status(of path: String) throws(FileSystemError) -> FileStatus? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw FileSystemError(.status, path, code: errno)
        }
        return FileStatus(
            size: Int64(status.st_size), isDirectory: status.st_mode & S_IFMT == S_IFDIR,
            modificationTime: Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000)
    }

    package func list(_ path: String) throws(FileSystemError) -> [String] {
        guard let directory = opendir(path) else { throw FileSystemError(.list, path, code: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw FileSystemError(.list, path, code: errno) }
        return names
    }

    package func createDirectory(_ path: String) throws(FileSystemError) {
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
            throw FileSystemError(.createDirectory, path, code: errno)
        }
    }

    package func rename(_ path: String, to target: String) throws(FileSystemError) {
        guard Glibc.rename(path, target) == 0 else { throw FileSystemError(.rename, path, code: errno) }
    }

    package func removeFile(_ path: String) throws(FileSystemError) {
        guard unlink(path) == 0 else { throw FileSystemError(.remove, path, code: errno) }
    }

    package func removeDirectory(_ path: String) throws(FileSystemError) {
        guard rmdir(path) == 0 else { throw FileSystemError(.remove, path, code: errno) }
    }

    package func synchronizeDirectory(_ path: String) throws(FileSystemError) {
        let descriptor = try retrying(.synchronizeDirectory, path) {
            Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileSystemError(.synchronizeDirectory, path, code: errno) }
    }

    package func lock(_ path: String) throws(FileSystemError) -> AnyObject? {
        let descriptor = try retrying(.lock, path) { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
        let file = RealFile(descriptor: descriptor, path: path)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            if errno == EWOULDBLOCK { return nil }
            throw FileSystemError(.lock, path, code: errno)
        }
        return file
    }
}

private final class RealFile: File {
    private let openDescriptor: Int32
    private let path: String

    init(descriptor: Int32, path: String) {
        openDescriptor = descriptor
        self.path = path
    }

    deinit {
        close(openDescriptor)
    }

    var descriptor: Int32? { openDescriptor }

    func size() throws(FileSystemError) -> Int64 {
        var status = stat()
        guard fstat(openDescriptor, &status) == 0 else { throw FileSystemError(.status, path, code: errno) }
        return Int64(status.st_size)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(FileSystemError) -> Int {
        var count = 0
        while count < buffer.count {
            let read = pread(
                openDescriptor, buffer.baseAddress! + count, buffer.count - count, Int(position) + count)
            if read < 0 {
                if errno == EINTR { continue }
                throw FileSystemError(.read, path, code: errno)
            }
            if read == 0 { break }
            count += read
        }
        return count
    }

    func write(_ pieces: UnsafeBufferPointer<iovec>, at position: Int64) throws(FileSystemError) -> Int {
        while true {
            // One piece, which small batches are, costs the kernel less without a vector.
            let written =
                pieces.count == 1
                ? pwrite(openDescriptor, pieces[0].iov_base, pieces[0].iov_len, Int(position))
                : pwritev(openDescriptor, pieces.baseAddress, Int32(pieces.count), Int(position))
            if written >= 0 { return written }
            if errno != EINTR { throw FileSystemError(.write, path, code: errno) }
        }
    }

    func synchronize() throws(FileSystemError) {
        // Not repeated after a failure: the kernel may have dropped the pages and would now report success.
        guard fdatasync(openDescriptor) == 0 else { throw FileSystemError(.synchronize, path, code: errno) }
    }

    func truncate(to size: Int64) throws(FileSystemError) {
        try retrying(.truncate, path) { ftruncate(openDescriptor, Int(size)) }
    }

    func preallocate(from position: Int64, count: Int64) throws(FileSystemError) {
        guard martlet_preallocate(openDescriptor, position, count) == 0 else {
            if errno == EOPNOTSUPP || errno == EINTR { return }
            throw FileSystemError(.preallocate, path, code: errno)
        }
    }
}

@discardableResult
private func retrying(
    _ operation: FileSystemError.Operation, _ path: String, _ call: () -> Int32
) throws(FileSystemError) -> Int32 {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw FileSystemError(operation, path, code: errno) }
    }
}
