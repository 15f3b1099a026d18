import Foundation

/// A file that is read in pieces and never changed.
final class DumpFile {
    /// Indexes, snapshots and checkpoints are far smaller; segments are read in pieces.
    private static let contentsLimit: Int64 = 256 << 20

    let path: String
    let length: Int64
    private let descriptor: CInt

    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure("cannot open: \(String(cString: strerror(errno)))") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CommandFailure("cannot open: not a file")
        }
        length = Int64(status.st_size)
    }

    deinit {
        close(descriptor)
    }

    /// As many bytes as there are at `position`, `count` at most.
    func read(_ count: Int, at position: Int64) throws -> [UInt8] {
        var failure: CInt = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while initialized < count {
                let got = pread(
                    descriptor, buffer.baseAddress! + initialized, count - initialized, Int(position) + initialized)
                if got > 0 {
                    initialized += got
                } else if got == 0 || errno != EINTR {
                    if got < 0 { failure = errno }
                    return
                }
            }
        }
        if failure != 0 { throw CommandFailure("cannot read: \(String(cString: strerror(failure)))") }
        return bytes
    }

    func contents() throws -> [UInt8] {
        guard length <= Self.contentsLimit else { throw CommandFailure("larger than such files can be") }
        return try read(Int(length), at: 0)
    }
}
