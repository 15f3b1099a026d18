import NIOCore

/// A record's content, borrowed from the caller while the record is written into its batch.
struct RecordFields {
    let key: UnsafeRawBufferPointer?
    let value: UnsafeRawBufferPointer?
    let headers: [Header]
    let timestamp: Int64

    /// An upper bound of the record's length in a batch.
    var lengthBound: Int {
        // Length, attributes, timestamp, offset, two lengths and the count of headers.
        var bound = 5 + 1 + 10 + 5 + 5 + 5 + 5 + (key?.count ?? 0) + (value?.count ?? 0)
        if !headers.isEmpty {
            for header in headers { bound += 10 + header.key.utf8.count + (header.value?.count ?? 0) }
        }
        return bound
    }

    /// Writes the record at `target`, which has `lengthBound` bytes, and returns its length.
    @inline(__always)
    func write(to target: UnsafeMutableRawPointer, timestampDelta: Int64, offsetDelta: Int32) -> Int {
        let body =
            1 + varintLength(timestampDelta) + varintLength(Int64(offsetDelta)) + lengthWithPrefix(key)
            + lengthWithPrefix(value) + (headers.isEmpty ? 1 : headersLength)
        var writer = RecordWriter(position: target)
        writer.varint(Int64(body))
        writer.byte(0)
        writer.varint(timestampDelta)
        writer.varint(Int64(offsetDelta))
        writer.bytes(key)
        writer.bytes(value)
        if headers.isEmpty { writer.byte(0) } else { writeHeaders(&writer) }
        return writer.position - target
    }

    private func lengthWithPrefix(_ bytes: UnsafeRawBufferPointer?) -> Int {
        guard let bytes else { return 1 }
        return varintLength(Int64(bytes.count)) + bytes.count
    }

    private var headersLength: Int {
        var length = varintLength(Int64(headers.count))
        for header in headers {
            let keyLength = header.key.utf8.count
            length += varintLength(Int64(keyLength)) + keyLength
            length += header.value.map { varintLength(Int64($0.count)) + $0.count } ?? 1
        }
        return length
    }

    private func writeHeaders(_ writer: inout RecordWriter) {
        writer.varint(Int64(headers.count))
        for header in headers {
            var key = header.key
            key.withUTF8 { writer.bytes(UnsafeRawBufferPointer($0)) }
            if let value = header.value {
                value.withUnsafeBytes { writer.bytes($0) }
            } else {
                writer.bytes(nil)
            }
        }
    }
}

/// How many bytes a zigzag varint takes.
@inline(__always)
private func varintLength(_ value: Int64) -> Int {
    let zigzag = UInt64(bitPattern: (value << 1) ^ (value >> 63))
    return (70 - (zigzag | 1).leadingZeroBitCount) / 7
}

/// Writes where there is room: whoever makes it has reckoned the length before.
struct RecordWriter {
    var position: UnsafeMutableRawPointer

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        position.storeBytes(of: value, as: UInt8.self)
        position += 1
    }

    @inline(__always)
    mutating func varint(_ value: Int64) {
        var rest = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func bytes(_ bytes: UnsafeRawBufferPointer?) {
        guard let bytes else { return varint(-1) }
        varint(Int64(bytes.count))
        guard let start = bytes.baseAddress else { return }
        position.copyMemory(from: start, byteCount: bytes.count)
        position += bytes.count
    }
}
