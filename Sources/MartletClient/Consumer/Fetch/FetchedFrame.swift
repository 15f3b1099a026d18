import NIOCore

/// The memory of a reply, which the records of all its partitions share: as long as one of them waits, all of it is taken.
struct FetchedFrame: Sendable {
    /// Tells it from the other replies whose records wait.
    let id: UInt64
    /// All that is allocated for it.
    let byteCount: Int

    /// What a reply with `payload` bytes of records takes: memory comes in powers of two.
    static func byteCount(payload: Int, overhead: Int) -> Int { (payload + overhead).nextPowerOfTwo }

    /// How many bytes of records a reply may have that is to take `byteCount` at most; one at least.
    static func payload(byteCount: Int, overhead: Int) -> Int {
        let next = max(1, byteCount).nextPowerOfTwo
        return max(1, (next > byteCount ? next / 2 : next) - overhead)
    }

    /// A reply in memory of its own size. One that is small beside the memory that it was read into would keep that.
    static func fitted(_ frame: ByteBuffer) -> ByteBuffer {
        guard frame.storageCapacity > 2 * frame.readableBytes + 1024 else { return frame }
        var copy = ByteBufferAllocator().buffer(capacity: frame.readableBytes)
        copy.writeImmutableBuffer(frame)
        return copy
    }
}
