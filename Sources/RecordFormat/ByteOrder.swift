// Big-endian loads and stores at byte offsets. The caller has checked the bounds; a debug build checks them again.

extension UnsafeRawBufferPointer {
    @inlinable
    package func loadBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Integer.Type = Integer.self
    ) -> Integer {
        Integer(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }

    /// The bytes `range` as a buffer of their own.
    @inlinable
    package func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[range])
    }
}

extension UnsafeMutableRawBufferPointer {
    @inlinable
    package func storeBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Integer.self)
    }
}

extension Array where Element == UInt8 {
    package mutating func appendBigEndian<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}
