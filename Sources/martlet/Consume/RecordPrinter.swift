import MartletClient
import RecordFormat

/// Writes records as lines: the value alone, byte for byte, or with the fields that were asked for, or as JSON.
struct RecordPrinter {
    var printsKey = false
    var printsHeaders = false
    var printsTimestamp = false
    var printsOffset = false
    var separator: [UInt8] = [0x09]
    var isJSON = false

    private static let lineFeed: UInt8 = 0x0A

    /// Appends one line. Throws when the record's headers are damaged.
    func append(_ record: RecordView, of partition: TopicPartition, to bytes: inout [UInt8]) throws(RecordFormatError) {
        if isJSON {
            try appendJSON(record, partition, to: &bytes)
        } else {
            if printsTimestamp {
                appendInteger(record.timestamp, to: &bytes)
                bytes += separator
            }
            if printsOffset {
                appendInteger(Int64(partition.partition), to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                appendInteger(record.offset, to: &bytes)
                bytes += separator
            }
            if printsHeaders {
                try appendHeaders(record, to: &bytes)
                bytes += separator
            }
            if printsKey {
                appendNullable(record.key, to: &bytes)
                bytes += separator
            }
            appendNullable(record.value, to: &bytes)
        }
        bytes.append(Self.lineFeed)
    }

    private func appendNullable(_ value: UnsafeRawBufferPointer?, to bytes: inout [UInt8]) {
        if let value {
            bytes.append(contentsOf: value)
        } else {
            bytes += "null".utf8
        }
    }

    private func appendInteger(_ value: Int64, to bytes: inout [UInt8]) {
        bytes += String(value).utf8
    }

    private func appendHeaders(_ record: RecordView, to bytes: inout [UInt8]) throws(RecordFormatError) {
        for (index, header) in try record.headers().enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += header.key
            bytes.append(UInt8(ascii: "="))
            bytes += header.value ?? Array("null".utf8)
        }
    }

    private func appendJSON(
        _ record: RecordView, _ partition: TopicPartition, to bytes: inout [UInt8]
    ) throws(RecordFormatError) {
        bytes += "{\"topic\":".utf8
        JSONText.appendString(partition.topic.utf8, to: &bytes)
        bytes += ",\"partition\":".utf8
        appendInteger(Int64(partition.partition), to: &bytes)
        bytes += ",\"offset\":".utf8
        appendInteger(record.offset, to: &bytes)
        bytes += ",\"timestamp\":".utf8
        appendInteger(record.timestamp, to: &bytes)
        bytes.append(UInt8(ascii: ","))
        JSONText.appendField("key", record.key, to: &bytes)
        bytes.append(UInt8(ascii: ","))
        JSONText.appendField("value", record.value, to: &bytes)
        if record.headerCount > 0 {
            bytes += ",\"headers\":[".utf8
            for (index, header) in try record.headers().enumerated() {
                bytes += (index > 0 ? ",{" : "{").utf8
                header.key.withUnsafeBytes { JSONText.appendField("key", $0, to: &bytes) }
                bytes.append(UInt8(ascii: ","))
                if let value = header.value {
                    value.withUnsafeBytes { JSONText.appendField("value", $0, to: &bytes) }
                } else {
                    JSONText.appendField("value", nil, to: &bytes)
                }
                bytes.append(UInt8(ascii: "}"))
            }
            bytes.append(UInt8(ascii: "]"))
        }
        bytes.append(UInt8(ascii: "}"))
    }
}
