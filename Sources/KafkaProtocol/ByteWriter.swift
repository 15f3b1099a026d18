/// A message that is being written.
package struct ByteWriter: Sendable {
    package var bytes: [UInt8]

    /// The first field that was set although the version being written lacks it. Kafka refuses to send such a message;
    /// here the sender asks after encoding, since a response must go out in any case.
    package private(set) var unsupportedField: String?

    package init() {
        bytes = []
    }

    package init(reusing bytes: consuming [UInt8]) {
        self.bytes = bytes
    }

    package mutating func refuseUnlessDefault(_ isDefault: Bool, _ field: StaticString) {
        if !isDefault && unsupportedField == nil { unsupportedField = "\(field)" }
    }

    // MARK: Fixed sizes

    @inlinable
    package mutating func write<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    @inlinable package mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }
    package mutating func write(_ value: Double) { write(value.bitPattern) }

    package mutating func write(_ value: Uuid) {
        write(value.high)
        write(value.low)
    }

    /// Overwrites an integer written before, such as a size that is known only at the end.
    @inlinable
    package mutating func patch<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at position: Int) {
        precondition(position >= 0 && position + MemoryLayout<T>.size <= bytes.count)
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: value.bigEndian, toByteOffset: position, as: T.self)
        }
    }

    // MARK: Variable sizes

    @inlinable
    package mutating func unsignedVarint(_ value: UInt32) {
        var rest = value
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    @inlinable
    mutating func length(_ count: Int, flexible: Bool, isString: Bool) {
        if flexible {
            unsignedVarint(UInt32(count + 1))
        } else if isString {
            write(Int16(count))
        } else {
            write(Int32(count))
        }
    }

    package mutating func string(_ value: String, flexible: Bool) {
        var value = value
        value.withUTF8 { content in
            // The old form holds 32,767 bytes; only texts made here (error messages) could be longer.
            let count = flexible ? content.count : min(content.count, Int(Int16.max))
            length(count, flexible: flexible, isString: true)
            bytes.append(contentsOf: content.prefix(count))
        }
    }

    package mutating func nullableString(_ value: String?, flexible: Bool) {
        if let value {
            string(value, flexible: flexible)
        } else {
            length(-1, flexible: flexible, isString: true)
        }
    }

    package mutating func bytes(_ value: [UInt8], flexible: Bool) {
        length(value.count, flexible: flexible, isString: false)
        bytes.append(contentsOf: value)
    }

    package mutating func nullableBytes(_ value: [UInt8]?, flexible: Bool) {
        if let value {
            bytes(value, flexible: flexible)
        } else {
            length(-1, flexible: flexible, isString: false)
        }
    }

    // MARK: Arrays and structs

    @inlinable
    package mutating func arrayCount(_ count: Int, flexible: Bool) {
        length(count, flexible: flexible, isString: false)
    }

    package mutating func array<Element: WireElement>(_ elements: [Element], flexible: Bool) {
        arrayCount(elements.count, flexible: flexible)
        for element in elements { element.write(to: &self, flexible: flexible) }
    }

    package mutating func nullableArray<Element: WireElement>(_ elements: [Element]?, flexible: Bool) {
        if let elements {
            array(elements, flexible: flexible)
        } else {
            arrayCount(-1, flexible: flexible)
        }
    }

    package mutating func structures<Element: WireStructure>(_ elements: [Element], flexible: Bool, version: Int16) {
        arrayCount(elements.count, flexible: flexible)
        for element in elements { element.encode(to: &self, version: version) }
    }

    package mutating func nullableStructures<Element: WireStructure>(
        _ elements: [Element]?, flexible: Bool, version: Int16
    ) {
        if let elements {
            structures(elements, flexible: flexible, version: version)
        } else {
            arrayCount(-1, flexible: flexible)
        }
    }

    package mutating func nullableStructure<Structure: WireStructure>(_ value: Structure?, version: Int16) {
        if let value {
            write(Int8(1))
            value.encode(to: &self, version: version)
        } else {
            write(Int8(-1))
        }
    }

    // MARK: Tagged fields (KIP-482)

    @inlinable
    package mutating func noTaggedFields() {
        bytes.append(0)
    }

    package mutating func taggedFields(_ fields: TaggedFieldsWriter) {
        unsignedVarint(fields.count)
        bytes.append(contentsOf: fields.bytes)
    }
}

/// The tagged fields of one struct, collected because their count stands before them.
package struct TaggedFieldsWriter {
    fileprivate var count: UInt32 = 0
    fileprivate var bytes: [UInt8] = []

    package init() {}

    package mutating func append(_ tag: UInt32, _ field: ByteWriter) {
        var header = ByteWriter()
        header.unsignedVarint(tag)
        header.unsignedVarint(UInt32(field.bytes.count))
        bytes.append(contentsOf: header.bytes)
        bytes.append(contentsOf: field.bytes)
        count += 1
    }
}
