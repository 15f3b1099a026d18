import Foundation
import HistoryChecker

/// Input that is no history, and where.
struct LineError: Error, CustomStringConvertible {
    let line: Int
    let reason: String

    var description: String { "line \(line): \(reason)" }
}

/// One line of a history: an event, and for the final read of an output what each record was made from.
struct HistoryLine {
    let number: Int
    let event: Event
    let sources: [ExactlyOnce.Source?]

    /// Empty lines are passed over.
    static func decode(_ text: Data) throws(LineError) -> [HistoryLine] {
        let decoder = JSONDecoder()
        var lines: [HistoryLine] = []
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }) else { continue }
            do {
                let decoded = try decoder.decode(DecodedEvent.self, from: line)
                lines.append(HistoryLine(number: index + 1, event: decoded.event, sources: decoded.sources))
            } catch let error as DecodingError {
                throw LineError(line: index + 1, reason: reason(error))
            } catch {
                throw LineError(line: index + 1, reason: "\(error)")
            }
        }
        return lines
    }

    private static func reason(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "" : " in \"\(path.map(\.stringValue).joined(separator: "."))\""
        }
        switch error {
        case .keyNotFound(let key, let context):
            return "field \"\(key.stringValue)\" is missing\(place(context.codingPath))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "wrong type\(place(context.codingPath)): \(context.debugDescription)"
        case .dataCorrupted(let context):
            // The decoder says of numbers that do not fit, too, that they are no valid JSON.
            return context.debugDescription.contains("not valid JSON")
                ? "not JSON, or a number that is no 64-bit integer"
                : "\(context.debugDescription)\(place(context.codingPath))"
        @unknown default: return "\(error)"
        }
    }
}

/// The fields of one JSON object, each of which must be known: a misspelt one would silently weaken the judgement.
struct Fields {
    struct Key: CodingKey {
        let stringValue: String
        let intValue: Int?

        init(stringValue: String) {
            self.stringValue = stringValue
            intValue = nil
        }

        init(intValue: Int) {
            stringValue = "\(intValue)"
            self.intValue = intValue
        }
    }

    let container: KeyedDecodingContainer<Key>

    init(_ decoder: any Decoder) throws {
        container = try decoder.container(keyedBy: Key.self)
    }

    func requireOnly(_ known: Set<String>) throws {
        for key in container.allKeys where !known.contains(key.stringValue) {
            throw corrupted("unknown field \"\(key.stringValue)\"")
        }
    }

    func required<Value: Decodable>(_ name: String, _ type: Value.Type = Value.self) throws -> Value {
        try container.decode(type, forKey: Key(stringValue: name))
    }

    func optional<Value: Decodable>(_ name: String, _ type: Value.Type = Value.self) throws -> Value? {
        try container.decodeIfPresent(type, forKey: Key(stringValue: name))
    }

    func oneOf<Value>(_ name: String, _ choices: KeyValuePairs<String, Value>) throws -> Value {
        let text = try required(name, String.self)
        guard let choice = choices.first(where: { $0.key == text }) else {
            let names = choices.map { "\"\($0.key)\"" }.joined(separator: ", ")
            throw corrupted("\"\(name)\" is \"\(text)\", not one of \(names)")
        }
        return choice.value
    }

    func partition() throws -> TopicPartition {
        TopicPartition(try required("topic"), try required("partition"))
    }

    func corrupted(_ reason: String) -> DecodingError {
        .dataCorrupted(.init(codingPath: container.codingPath, debugDescription: reason))
    }
}

/// A value's identity: an integer or a string.
struct DecodedValue: Decodable {
    let id: ValueID

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            id = .number(number)
        } else {
            id = .text(try container.decode(String.self))
        }
    }
}
