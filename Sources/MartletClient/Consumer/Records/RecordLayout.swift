/// Where the parts of a record are, relative to its first byte after its length.
struct RecordLayout {
    /// Of all of it.
    var length: Int32 = 0
    var timestampDelta: Int64 = 0
    var offsetDelta: Int32 = 0
    var keyStart: Int32 = 0
    /// -1: no key.
    var keyLength: Int32 = -1
    var valueStart: Int32 = 0
    var valueLength: Int32 = -1
    var headersStart: Int32 = 0
    var headerCount: Int32 = 0

    /// Reads the record at `position`, which then stands behind it; nil when the bytes are no record. Nothing in them is
    /// trusted. `checksHeaders`: whether each header is looked at, which a second reader may leave out.
    @inline(__always)
    init?(_ position: inout UnsafeRawPointer, end: UnsafeRawPointer, checksHeaders: Bool) {
        var reader = RecordReader(position: position, end: end)
        guard let length = reader.varint(), length >= 1, length <= end - reader.position else { return nil }
        let start = reader.position
        reader.end = start + Int(length)
        // The attributes, which have no meaning yet.
        reader.position += 1
        guard let timestampDelta = reader.varlong(), let offsetDelta = reader.varint(),
            let key = reader.range(from: start), let value = reader.range(from: start),
            let headerCount = reader.varint(), headerCount >= 0
        else { return nil }
        self.length = length
        self.timestampDelta = timestampDelta
        self.offsetDelta = offsetDelta
        (keyStart, keyLength) = key
        (valueStart, valueLength) = value
        headersStart = Int32(truncatingIfNeeded: reader.position - start)
        self.headerCount = headerCount
        if checksHeaders {
            if headerCount > 0 {
                for _ in 0..<headerCount {
                    guard let key = reader.range(from: start), key.length >= 0, reader.range(from: start) != nil else {
                        return nil
                    }
                }
            }
            guard reader.position == reader.end else { return nil }
        }
        position = reader.end
    }
}

/// Reads varints and what they measure, up to an end.
struct RecordReader {
    var position: UnsafeRawPointer
    var end: UnsafeRawPointer

    @inline(__always)
    mutating func varint() -> Int32? {
        guard position < end else { return nil }
        let first = position.load(as: UInt8.self)
        if first < 0x80 {
            position += 1
            return Int32(first >> 1) ^ -Int32(first & 1)
        }
        guard let long = longVarint(maximumBytes: 5) else { return nil }
        return Int32(exactly: long)
    }

    @inline(__always)
    mutating func varlong() -> Int64? {
        guard position < end else { return nil }
        let first = position.load(as: UInt8.self)
        if first < 0x80 {
            position += 1
            return Int64(first >> 1) ^ -Int64(first & 1)
        }
        return longVarint(maximumBytes: 10)
    }

    @inline(__always)
    private mutating func longVarint(maximumBytes: Int) -> Int64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var next = position
        let last = min(maximumBytes, end - next)
        for _ in 0..<last {
            let byte = next.load(as: UInt8.self)
            next += 1
            // The tenth byte has room for one bit.
            if shift == 63, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 {
                position = next
                return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
            }
            shift += 7
        }
        return nil
    }

    /// A length and so many bytes, which are stepped over; -1 is null.
    @inline(__always)
    mutating func range(from start: UnsafeRawPointer) -> (start: Int32, length: Int32)? {
        guard let length = varint() else { return nil }
        let place = Int32(truncatingIfNeeded: position - start)
        guard length > 0 else { return length >= -1 ? (place, length) : nil }
        guard Int(length) <= end - position else { return nil }
        position += Int(length)
        return (place, length)
    }
}
