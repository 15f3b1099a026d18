/// A place in a message that is being read. It holds no bytes: each call is given the span, so that nothing outlives
/// the buffer that the transport owns. Every read is bounds-checked and what arrays and strings may allocate together
/// is limited, so no input can make it trap, read out of bounds or take more memory than `memoryLimit`.
package struct ByteCursor: Sendable {
    /// What the arrays and strings of one message may take in memory; generous for the largest real requests
    /// (a metadata request for 100,000 topics takes about 10 MB).
    @inlinable package static var memoryLimit: Int { 64 << 20 }

    package var position: Int
    @usableFromInline var memoryLeft: Int

    @inlinable
    package init(position: Int = 0, memoryLimit: Int = ByteCursor.memoryLimit) {
        self.position = position
        self.memoryLeft = memoryLimit
    }

    // MARK: Fixed sizes

    @inlinable @inline(__always)
    mutating func load<T: BitwiseCopyable & FixedWidthInteger>(
        _ bytes: RawSpan, as type: T.Type
    ) throws(ProtocolDecodingError) -> T {
        guard bytes.byteCount - position >= MemoryLayout<T>.size else { throw .truncated }
        let value = bytes.unsafeLoadUnaligned(fromByteOffset: position, as: type)
        position += MemoryLayout<T>.size
        return T(bigEndian: value)
    }

    @inlinable
    package mutating func int8(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Int8 {
        try load(bytes, as: Int8.self)
    }
    @inlinable
    package mutating func int16(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Int16 {
        try load(bytes, as: Int16.self)
    }
    @inlinable
    package mutating func uint16(_ bytes: RawSpan) throws(ProtocolDecodingError) -> UInt16 {
        try load(bytes, as: UInt16.self)
    }
    @inlinable
    package mutating func int32(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Int32 {
        try load(bytes, as: Int32.self)
    }
    @inlinable
    package mutating func int64(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Int64 {
        try load(bytes, as: Int64.self)
    }

    package mutating func bool(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Bool {
        try load(bytes, as: UInt8.self) != 0
    }

    package mutating func float64(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Double {
        Double(bitPattern: try load(bytes, as: UInt64.self))
    }

    @inlinable
    package mutating func uuid(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Uuid {
        let high = try load(bytes, as: UInt64.self)
        return Uuid(high: high, low: try load(bytes, as: UInt64.self))
    }

    /// The marker before a nullable struct: negative for null.
    @inlinable
    package mutating func isPresent(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Bool {
        try load(bytes, as: Int8.self) >= 0
    }

    // MARK: Variable sizes

    /// Seven bits a byte, the lowest first; five bytes at most.
    @inlinable
    package mutating func unsignedVarint(_ bytes: RawSpan) throws(ProtocolDecodingError) -> UInt32 {
        var value: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 35, by: 7) {
            let byte = try load(bytes, as: UInt8.self)
            if shift == 28 && byte > 15 { throw .invalidVariableLengthInteger }
            value |= UInt32(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw .invalidVariableLengthInteger
    }

    /// The length before a string, bytes or array: -1 for null. It is only read here, not compared with what is left.
    @inlinable
    mutating func length(
        _ bytes: RawSpan, flexible: Bool, isString: Bool
    ) throws(ProtocolDecodingError) -> Int {
        let length: Int
        if flexible {
            length = Int(try unsignedVarint(bytes)) - 1
        } else if isString {
            length = Int(try int16(bytes))
        } else {
            length = Int(try int32(bytes))
        }
        guard length >= -1 && length <= Int32.max else { throw .invalidLength }
        return length
    }

    private mutating func charge(_ size: Int) throws(ProtocolDecodingError) {
        guard size <= memoryLeft else { throw .tooLarge }
        memoryLeft -= size
    }

    /// The range of a string's or byte string's content, which the cursor steps over; nil for null.
    @inlinable
    package mutating func range(
        _ bytes: RawSpan, flexible: Bool, isString: Bool
    ) throws(ProtocolDecodingError) -> Range<Int>? {
        let length = try length(bytes, flexible: flexible, isString: isString)
        guard length >= 0 else { return nil }
        guard length <= bytes.byteCount - position else { throw .truncated }
        let start = position
        position += length
        return start..<position
    }

    package mutating func nullableString(
        _ bytes: RawSpan, flexible: Bool
    ) throws(ProtocolDecodingError) -> String? {
        guard let range = try range(bytes, flexible: flexible, isString: true) else { return nil }
        try charge(range.count)
        return bytes.extracting(range).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    package mutating func string(_ bytes: RawSpan, flexible: Bool) throws(ProtocolDecodingError) -> String {
        guard let value = try nullableString(bytes, flexible: flexible) else { throw .invalidLength }
        return value
    }

    package mutating func nullableBytes(
        _ bytes: RawSpan, flexible: Bool
    ) throws(ProtocolDecodingError) -> [UInt8]? {
        guard let range = try range(bytes, flexible: flexible, isString: false) else { return nil }
        try charge(range.count)
        return bytes.extracting(range).withUnsafeBytes { [UInt8]($0) }
    }

    package mutating func bytes(_ bytes: RawSpan, flexible: Bool) throws(ProtocolDecodingError) -> [UInt8] {
        guard let value = try nullableBytes(bytes, flexible: flexible) else { throw .invalidLength }
        return value
    }

    // MARK: Arrays

    /// The count before an array, -1 for null. No element is smaller than a byte, so a count beyond the bytes left is
    /// refused before anything is allocated for it.
    @inlinable
    package mutating func arrayCount(_ bytes: RawSpan, flexible: Bool) throws(ProtocolDecodingError) -> Int {
        let count = try length(bytes, flexible: flexible, isString: false)
        guard count <= bytes.byteCount - position else { throw .truncated }
        return count
    }

    package mutating func nullableArray<Element: WireElement>(
        _ bytes: RawSpan, flexible: Bool
    ) throws(ProtocolDecodingError) -> [Element]? {
        let count = try arrayCount(bytes, flexible: flexible)
        guard count >= 0 else { return nil }
        try charge(count * MemoryLayout<Element>.stride)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count {
            elements.append(try Element.read(bytes, at: &self, flexible: flexible))
        }
        return elements
    }

    package mutating func array<Element: WireElement>(
        _ bytes: RawSpan, flexible: Bool
    ) throws(ProtocolDecodingError) -> [Element] {
        guard let elements: [Element] = try nullableArray(bytes, flexible: flexible) else { throw .invalidLength }
        return elements
    }

    package mutating func nullableStructures<Element: WireStructure>(
        _ bytes: RawSpan, flexible: Bool, version: Int16
    ) throws(ProtocolDecodingError) -> [Element]? {
        let count = try arrayCount(bytes, flexible: flexible)
        guard count >= 0 else { return nil }
        try charge(count * MemoryLayout<Element>.stride)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count {
            elements.append(try Element(from: bytes, at: &self, version: version))
        }
        return elements
    }

    package mutating func structures<Element: WireStructure>(
        _ bytes: RawSpan, flexible: Bool, version: Int16
    ) throws(ProtocolDecodingError) -> [Element] {
        guard let elements: [Element] = try nullableStructures(bytes, flexible: flexible, version: version) else {
            throw .invalidLength
        }
        return elements
    }

    // MARK: Tagged fields (KIP-482)

    package struct TaggedField {
        package let tag: UInt32
        @usableFromInline let end: Int

        @inlinable
        init(tag: UInt32, end: Int) {
            self.tag = tag
            self.end = end
        }
    }

    @inlinable
    package mutating func taggedFieldCount(_ bytes: RawSpan) throws(ProtocolDecodingError) -> Int {
        let count = Int(try unsignedVarint(bytes))
        // A tagged field has at least a tag and a size.
        guard count <= (bytes.byteCount - position) / 2 else { throw .truncated }
        return count
    }

    @inlinable
    package mutating func taggedField(_ bytes: RawSpan) throws(ProtocolDecodingError) -> TaggedField {
        let tag = try unsignedVarint(bytes)
        let size = Int(try unsignedVarint(bytes))
        guard size <= bytes.byteCount - position else { throw .truncated }
        return TaggedField(tag: tag, end: position + size)
    }

    @inlinable
    package mutating func skip(_ field: TaggedField) {
        position = field.end
    }

    package mutating func finish(_ field: TaggedField) throws(ProtocolDecodingError) {
        guard position == field.end else { throw .invalidTaggedField }
    }

    @inlinable
    package mutating func skipTaggedFields(_ bytes: RawSpan) throws(ProtocolDecodingError) {
        for _ in 0..<(try taggedFieldCount(bytes)) {
            skip(try taggedField(bytes))
        }
    }
}
