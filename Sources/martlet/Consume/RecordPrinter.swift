import MartletClient

/// Writes records as lines: the value alone, byte for byte, or with the fields that were asked for, or as JSON.
struct RecordPrinter {
    var printsKey = false
    var printsHeaders = false
    var printsTimestamp = false
    var printsOffset = false
    var separator: [UInt8] = [0x09]
    var isJSON = false

    private static let lineFeed: UInt8 = 0x0A

    /// Appends one line.
    func append(_ record: ConsumerRecord, to bytes: inout [UInt8]) {
        if isJSON {
            appendJSON(record, to: &bytes)
        } else {
            if printsTimestamp {
                appendInteger(record.timestamp, to: &bytes)
                bytes += separator
            }
            if printsOffset {
                appendInteger(Int64(record.partition), to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                appendInteger(record.offset, to: &bytes)
                bytes += separator
            }
            if printsHeaders {
                appendHeaders(record, to: &bytes)
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

    private func appendNullable(_ value: RecordBytes?, to bytes: inout [UInt8]) {
        if let value {
            bytes.append(contentsOf: value)
        } else {
            bytes += "null".utf8
        }
    }

    private func appendInteger(_ value: Int64, to bytes: inout [UInt8]) {
        bytes += String(value).utf8
    }

    private func appendField(_ name: String, _ value: RecordBytes?, to bytes: inout [UInt8]) {
        guard let value else { return JSONText.appendField(name, nil, to: &bytes) }
        value.withUnsafeBytes { JSONText.appendField(name, $0, to: &bytes) }
    }

    private func appendHeaders(_ record: ConsumerRecord, to bytes: inout [UInt8]) {
        for (index, header) in record.headers.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += header.key.utf8
            bytes.append(UInt8(ascii: "="))
            bytes += header.value ?? Array("null".utf8)
        }
    }

    private func appendJSON(_ record: ConsumerRecord, to bytes: inout [UInt8]) {
        bytes += "{\"topic\":".utf8
        JSONText.appendString(record.topic.utf8, to: &bytes)
        bytes += ",\"partition\":".utf8
        appendInteger(Int64(record.partition), to: &bytes)
        bytes += ",\"offset\":".utf8
        appendInteger(record.offset, to: &bytes)
        bytes += ",\"timestamp\":".utf8
        appendInteger(record.timestamp, to: &bytes)
        bytes.append(UInt8(ascii: ","))
        appendField("key", record.key, to: &bytes)
        bytes.append(UInt8(ascii: ","))
        appendField("value", record.value, to: &bytes)
        if record.hasHeaders {
            bytes += ",\"headers\":[".utf8
            for (index, header) in record.headers.enumerated() {
                bytes += (index > 0 ? ",{" : "{").utf8
                Array(header.key.utf8).withUnsafeBytes { JSONText.appendField("key", $0, to: &bytes) }
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
