import Glibc
import NIOCore

extension ByteBuffer {
    /// Reads a stretch of a file; what the kernel would have sent itself.
    mutating func write(_ region: FileRegion) throws {
        var position = region.readerIndex
        while position < region.endIndex {
            let wanted = region.endIndex - position
            let count = try writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { memory in
                try region.fileHandle.withUnsafeFileDescriptor { descriptor in
                    let count = pread(descriptor, memory.baseAddress, wanted, off_t(position))
                    guard count > 0 else { throw IOError(errnoCode: errno, reason: "pread") }
                    return count
                }
            }
            position += count
        }
    }
}
