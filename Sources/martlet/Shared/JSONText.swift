/// JSON strings and base64, written straight into an output's bytes.
enum JSONText {
    private static let hexadecimal = Array("0123456789abcdef".utf8)
    private static let base64 = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// UTF-8 text as a JSON string with its quotes. The caller has checked that it is UTF-8.
    static func appendString(_ text: some Sequence<UInt8>, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A: bytes += "\\n".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case 0..<0x20:
                bytes += "\\u00".utf8
                bytes.append(hexadecimal[Int(byte >> 4)])
                bytes.append(hexadecimal[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// `"name":"text"`, or `"nameBase64":"…"` for bytes that are not UTF-8, or `"name":null`.
    static func appendField(_ name: String, _ value: UnsafeRawBufferPointer?, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        bytes += name.utf8
        guard let value else {
            bytes += "\":null".utf8
            return
        }
        if isUTF8(value) {
            bytes += "\":".utf8
            appendString(value, to: &bytes)
        } else {
            bytes += "Base64\":\"".utf8
            appendBase64(value, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
    }

    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // Most text is ASCII, which needs no decoder.
        if bytes.allSatisfy({ $0 < 0x80 }) { return true }
        return String(validating: bytes, as: UTF8.self) != nil
    }

    static func appendBase64(_ value: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        for start in stride(from: 0, to: value.count, by: 3) {
            let group = value[start..<min(start + 3, value.count)]
            var bits: UInt32 = 0
            for byte in group { bits = bits << 8 | UInt32(byte) }
            bits <<= UInt32(8 * (3 - group.count))
            for position in 0..<4 {
                let isPadding = position > group.count
                bytes.append(
                    isPadding ? UInt8(ascii: "=") : base64[Int(bits >> UInt32(18 - 6 * position) & 63)])
            }
        }
    }
}
