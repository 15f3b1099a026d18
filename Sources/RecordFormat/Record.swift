/// A key and value attached to a record.
package struct RecordHeader: Equatable, Sendable {
    /// UTF-8 text, kept as the bytes that came.
    package var key: [UInt8]
    package var value: [UInt8]?

    package init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }

    package init(key: String, value: [UInt8]?) {
        self.init(key: Array(key.utf8), value: value)
    }
}

/// A record that owns its bytes.
package struct Record: Equatable, Sendable {
    package var offset: Int64
    /// Milliseconds since the epoch, -1 for none.
    package var timestamp: Int64
    package var key: [UInt8]?
    package var value: [UInt8]?
    package var headers: [RecordHeader]

    package init(
        offset: Int64 = 0, timestamp: Int64 = -1, key: [UInt8]? = nil, value: [UInt8]? = nil,
        headers: [RecordHeader] = []
    ) {
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = headers
    }
}

/// A record inside a batch's bytes. Valid only during the call that hands it out.
package struct RecordView {
    package let offset: Int64
    package let timestamp: Int64
    package let key: UnsafeRawBufferPointer?
    package let value: UnsafeRawBufferPointer?
    package let headerCount: Int32
    /// The headers as they are encoded, after their count. Already walked, so `headers()` finds no fault in them.
    package let encodedHeaders: UnsafeRawBufferPointer

    package func headers() throws(RecordFormatError) -> [RecordHeader] {
        var cursor = ByteCursor(encodedHeaders)
        var headers: [RecordHeader] = []
        for _ in 0..<headerCount {
            guard let key = try cursor.nullableBytes() else { throw .invalidRecord }
            headers.append(RecordHeader(key: Array(key), value: try cursor.nullableBytes().map(Array.init)))
        }
        return headers
    }

    package func copy() throws(RecordFormatError) -> Record {
        Record(
            offset: offset, timestamp: timestamp, key: key.map(Array.init), value: value.map(Array.init),
            headers: try headers())
    }
}
