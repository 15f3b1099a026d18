import MartletClient
import RecordFormat

/// How lines become records.
enum InputFormat {
    /// `keySeparator` divides key and value; `hasHeaders` puts `name=value,…` and a tab in front.
    case text(keySeparator: [UInt8]?, hasHeaders: Bool)
    case json
}

/// Makes records of lines. The line's number is for errors.
struct InputLineReader {
    let topic: String
    let format: InputFormat
    let partition: Int32?
    let headers: [Header]

    /// `now` is the timestamp of records without one, in milliseconds since the epoch.
    func record(_ line: ArraySlice<UInt8>, number: Int, now: Int64) throws(CommandFailure) -> ProducerRecord {
        switch format {
        case .json:
            do throws(CommandFailure) {
                return try JSONInput.record(line, topic: topic, partition: partition, headers: headers, now: now)
            } catch {
                throw CommandFailure("line \(number): \(error)")
            }
        case .text(let keySeparator, let hasHeaders):
            var rest = line
            var record = ProducerRecord(
                topic: topic, partition: partition, value: nil, headers: headers, timestamp: now)
            if hasHeaders {
                guard let tab = rest.firstIndex(of: 0x09) else {
                    throw CommandFailure("line \(number): no tab after the headers; write name=value,…<TAB>record")
                }
                record.headers += try Self.headers(rest[..<tab], number: number)
                rest = rest[(tab + 1)...]
            }
            if let keySeparator {
                guard let found = Self.firstRange(of: keySeparator, in: rest) else {
                    throw CommandFailure(
                        "line \(number): no key separator '\(String(decoding: keySeparator, as: UTF8.self))' in it;"
                            + " see --key-separator")
                }
                record.key = Array(rest[..<found.lowerBound])
                rest = rest[found.upperBound...]
            }
            record.value = Array(rest)
            return record
        }
    }

    private static func headers(_ text: ArraySlice<UInt8>, number: Int) throws(CommandFailure) -> [Header] {
        var headers: [Header] = []
        for part in text.split(separator: UInt8(ascii: ",")) {
            guard let equals = part.firstIndex(of: UInt8(ascii: "=")) else {
                throw CommandFailure("line \(number): a header without '='; write name=value,…<TAB>record")
            }
            headers.append(
                Header(key: String(decoding: part[..<equals], as: UTF8.self), value: Array(part[(equals + 1)...])))
        }
        return headers
    }

    static func firstRange(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Range<Int>? {
        var start = bytes.startIndex
        while let found = bytes[start...].firstIndex(of: pattern[0]) {
            guard bytes.endIndex - found >= pattern.count else { return nil }
            if bytes[found..<(found + pattern.count)].elementsEqual(pattern) { return found..<(found + pattern.count) }
            start = found + 1
        }
        return nil
    }
}
