import Glibc

/// An operation on files that did not succeed.
package struct FileSystemError: Error, Equatable, Sendable {
    package enum Operation: String, Sendable {
        case open, read, write, synchronize, truncate, preallocate, status, list, rename, remove
        case createDirectory = "create directory"
        case synchronizeDirectory = "synchronize directory"
        case lock
    }

    package var operation: Operation
    package var path: String
    /// The system's error number.
    package var code: Int32

    package init(_ operation: Operation, _ path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package var isNotFound: Bool { code == ENOENT }
    /// Something ran out that others may give back: room on the disk, open files, memory. Nothing is wrong with the disk.
    package var isOutOfResources: Bool {
        [ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM].contains(code)
    }
}

extension FileSystemError: CustomStringConvertible {
    package var description: String {
        "cannot \(operation.rawValue) \(path): \(String(cString: strerror(code)))"
    }
}

package enum FileOpenMode: Sendable {
    /// The file must exist.
    case read
    /// The file must exist.
    case readWrite
    /// The file is made when it does not exist.
    case create
    /// The file is made, or emptied.
    case replace
}

package struct FileStatus: Equatable, Sendable {
    package var size: Int64
    package var isDirectory: Bool
    /// Milliseconds since the epoch.
    package var modificationTime: Int64
}

/// Everything the log asks of an operating system's files. Paths are absolute or relative to the process, with `/`
/// between the parts. All methods may be called from any thread.
package protocol FileSystem: AnyObject, Sendable {
    func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File
    /// nil when nothing is there.
    func status(of path: String) throws(FileSystemError) -> FileStatus?
    /// The names in a directory, in no order.
    func list(_ path: String) throws(FileSystemError) -> [String]
    /// Does nothing when the directory is there; its parent must be.
    func createDirectory(_ path: String) throws(FileSystemError)
    /// Replaces what is at `target`.
    func rename(_ path: String, to target: String) throws(FileSystemError)
    func removeFile(_ path: String) throws(FileSystemError)
    func removeDirectory(_ path: String) throws(FileSystemError)
    /// Makes the names in a directory durable: files made, renamed and removed in it.
    func synchronizeDirectory(_ path: String) throws(FileSystemError)
    /// Takes the lock that a file stands for, until the returned object is gone; nil when another holds it.
    func lock(_ path: String) throws(FileSystemError) -> AnyObject?
}

/// An open file, closed when the last reference is gone. All methods may be called from any thread.
package protocol File: AnyObject, Sendable {
    /// For the system's own calls, such as sendfile; nil when the file is not the system's.
    var descriptor: Int32? { get }
    func size() throws(FileSystemError) -> Int64
    /// Returns less than asked for only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(FileSystemError) -> Int
    /// May write less than all of it, as the system's call does. At most `maximumWritePieces` pieces.
    func write(_ pieces: UnsafeBufferPointer<iovec>, at position: Int64) throws(FileSystemError) -> Int
    /// Makes the content durable, and the size as far as it is needed to read it.
    func synchronize() throws(FileSystemError)
    func truncate(to size: Int64) throws(FileSystemError)
    /// Reserves space without a change of the file's size. A file system that cannot may do nothing.
    func preallocate(from position: Int64, count: Int64) throws(FileSystemError)
}

/// The system's limit of pieces in one write.
package let maximumWritePieces = 1024

extension File {
    /// Writes all pieces, over as many calls as it takes. Changes `pieces`.
    package func writeAll(_ pieces: UnsafeMutableBufferPointer<iovec>, at position: Int64) throws(FileSystemError) {
        var position = position
        var next = 0
        while next < pieces.count {
            let end = min(pieces.count, next + maximumWritePieces)
            var written = try write(UnsafeBufferPointer(rebasing: pieces[next..<end]), at: position)
            position += Int64(written)
            while next < pieces.count, written >= pieces[next].iov_len {
                written -= pieces[next].iov_len
                next += 1
            }
            if written > 0 {
                pieces[next].iov_base = pieces[next].iov_base.map { $0 + written }
                pieces[next].iov_len -= written
            }
        }
    }

    package func writeAll(_ bytes: UnsafeRawBufferPointer, at position: Int64) throws(FileSystemError) {
        guard bytes.count > 0 else { return }
        var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        var failure: FileSystemError?
        withUnsafeMutablePointer(to: &piece) { pointer in
            do throws(FileSystemError) {
                try writeAll(UnsafeMutableBufferPointer(start: pointer, count: 1), at: position)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}

extension FileSystem {
    /// A whole file's bytes; nil when there is no such file. For small files only.
    func contents(of path: String, limit: Int = 64 << 20) throws(FileSystemError) -> [UInt8]? {
        let file: any File
        do {
            file = try open(path, .read)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        let size = try file.size()
        guard size <= limit else { throw FileSystemError(.read, path, code: EFBIG) }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        var failure: FileSystemError?
        var count = 0
        bytes.withUnsafeMutableBytes { buffer in
            do throws(FileSystemError) {
                count = try file.read(into: buffer, at: 0)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        bytes.removeSubrange(count...)
        return bytes
    }

    /// Puts a file in place so that after a crash there is either the old one or the new one, whole.
    func replaceContents(of path: String, with bytes: [UInt8]) throws(FileSystemError) {
        let temporary = path + ".tmp"
        let file = try open(temporary, .replace)
        try file.writeAll(bytes)
        try file.synchronize()
        try rename(temporary, to: path)
        try synchronizeDirectory(parentPath(of: path))
    }

    func removeFileIfPresent(_ path: String) throws(FileSystemError) {
        do {
            try removeFile(path)
        } catch {
            if !error.isNotFound { throw error }
        }
    }
}

extension File {
    func writeAll(_ bytes: [UInt8], at position: Int64 = 0) throws(FileSystemError) {
        var failure: FileSystemError?
        bytes.withUnsafeBytes { buffer in
            do throws(FileSystemError) {
                try writeAll(buffer, at: position)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}

/// The directory that a path's last part is in.
func parentPath(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// A path's last part.
func lastPathPart(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return path }
    return String(path[path.index(after: slash)...])
}
