import Foundation

/// Standard output with a buffer of its own: one write for many records.
final class OutputBuffer {
    private static let flushLength = 256 * 1024
    private let descriptor: CInt
    var bytes: [UInt8] = []

    init(descriptor: CInt = STDOUT_FILENO) {
        self.descriptor = descriptor
        bytes.reserveCapacity(2 * Self.flushLength)
    }

    func flushIfFull() throws {
        if bytes.count >= Self.flushLength { try flush() }
    }

    /// Writes everything. Throws `OutputClosed` when nobody reads any more, as after `| head`.
    func flush() throws {
        defer { bytes.removeAll(keepingCapacity: true) }
        try bytes.withUnsafeBytes { buffer in
            var start = 0
            while start < buffer.count {
                let written = write(descriptor, buffer.baseAddress! + start, buffer.count - start)
                if written >= 0 {
                    start += written
                } else if errno == EPIPE {
                    throw OutputClosed()
                } else if errno != EINTR {
                    throw CommandFailure("cannot write to standard output: \(String(cString: strerror(errno)))")
                }
            }
        }
    }
}

/// Whoever read the output has gone, which is a normal end.
struct OutputClosed: Error {}
