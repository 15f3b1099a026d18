/// Memory that is used again and again: grows, never shrinks by itself, is not zeroed. For one thread at a time.
package final class ScratchBuffer {
    private var storage: UnsafeMutableRawBufferPointer
    /// How many bytes at the start are in use.
    package var count: Int {
        didSet { precondition(count >= 0 && count <= storage.count) }
    }

    package init(capacity: Int = 0) {
        storage = .allocate(byteCount: capacity, alignment: 16)
        count = 0
    }

    deinit {
        storage.deallocate()
    }

    package var capacity: Int { storage.count }

    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    /// All the memory, used or not.
    package var memory: UnsafeMutableRawBufferPointer { storage }

    /// Makes room for `capacity` bytes, keeping those in use.
    package func reserve(_ capacity: Int) {
        guard capacity > storage.count else { return }
        let grown = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(capacity, storage.count + storage.count / 2), alignment: 16)
        grown.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<count]))
        storage.deallocate()
        storage = grown
    }

    package func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(count + bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: storage[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    /// Gives memory beyond `capacity` back, for a buffer that met one very large batch.
    package func shrink(to capacity: Int) {
        guard storage.count > capacity else { return }
        storage.deallocate()
        storage = .allocate(byteCount: capacity, alignment: 16)
        count = 0
    }
}
