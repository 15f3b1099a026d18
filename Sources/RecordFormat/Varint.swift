// Protocol-buffer varints with zigzag signs, as records use them.

extension Array where Element == UInt8 {
    package mutating func appendVarint(_ value: Int64) {
        var rest = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }
}

/// A position in bytes that nobody trusts. Every step is checked against the end.
package struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    package var position: Int
    let end: Int

    package init(_ bytes: UnsafeRawBufferPointer, from position: Int = 0) {
        self.bytes = bytes
        self.position = position
        self.end = bytes.count
    }

    package var remaining: Int { end - position }

    @inline(__always)
    package mutating func byte() throws(RecordFormatError) -> UInt8 {
        guard position < end else { throw .truncated }
        let value = bytes[position]
        position += 1
        return value
    }

    /// A zigzag varint of at most 32 bits.
    @inline(__always)
    package mutating func varint() throws(RecordFormatError) -> Int32 {
        guard position < end else { throw .truncated }
        let first = bytes[position]
        if first < 0x80 {
            position += 1
            return Int32(first >> 1) ^ -Int32(first & 1)
        }
        let long = try longVarint(maximumBytes: 5)
        guard let value = Int32(exactly: long) else { throw .invalidVarint }
        return value
    }

    /// A zigzag varint of at most 64 bits.
    @inline(__always)
    package mutating func varlong() throws(RecordFormatError) -> Int64 {
        guard position < end else { throw .truncated }
        let first = bytes[position]
        if first < 0x80 {
            position += 1
            return Int64(first >> 1) ^ -Int64(first & 1)
        }
        return try longVarint(maximumBytes: 10)
    }

    mutating func longVarint(maximumBytes: Int) throws(RecordFormatError) -> Int64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        for _ in 0..<maximumBytes {
            guard position < end else { throw .truncated }
            let byte = bytes[position]
            position += 1
            // The tenth byte has room for one bit.
            if shift == 63, byte > 1 { throw .invalidVarint }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
            }
            shift += 7
        }
        throw .invalidVarint
    }

    @inline(__always)
    package mutating func skip(_ count: Int) throws(RecordFormatError) {
        guard count >= 0, count <= end - position else { throw .truncated }
        position += count
    }

    package mutating func take(_ count: Int) throws(RecordFormatError) -> UnsafeRawBufferPointer {
        let start = position
        try skip(count)
        return bytes.slice(start..<position)
    }

    /// A length and that many bytes; -1 is null.
    package mutating func nullableBytes() throws(RecordFormatError) -> UnsafeRawBufferPointer? {
        let length = try varint()
        if length == -1 { return nil }
        guard length >= 0 else { throw .negativeLength }
        return try take(Int(length))
    }

    @inline(__always)
    mutating func skipNullableBytes() throws(RecordFormatError) -> Bool {
        let length = try varint()
        if length == -1 { return false }
        guard length >= 0 else { throw .negativeLength }
        try skip(Int(length))
        return true
    }
}
