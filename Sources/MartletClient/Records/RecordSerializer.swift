import Foundation

/// How values of a program become a record's key or value and back (`key.serializer`, `value.deserializer`).
public protocol RecordSerializer<Value>: Sendable {
    /// What the program works with.
    associatedtype Value

    /// The bytes that are written. Throws when the value has no such form.
    func bytes(of value: Value) throws -> [UInt8]

    /// The value that was written. Throws when the bytes are not one.
    func value(of bytes: [UInt8]) throws -> Value
}

/// Texts in UTF-8.
public struct StringSerializer: RecordSerializer {
    /// Texts in UTF-8.
    public init() {}

    /// The text's UTF-8.
    public func bytes(of value: String) -> [UInt8] { Array(value.utf8) }

    /// The text. Throws when the bytes are not UTF-8, instead of changing them.
    public func value(of bytes: [UInt8]) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ClientError(.serializationFailed, "the bytes are not UTF-8")
        }
        return text
    }
}

/// Bytes as they are.
public struct BytesSerializer: RecordSerializer {
    /// Bytes as they are.
    public init() {}

    /// The bytes themselves.
    public func bytes(of value: [UInt8]) -> [UInt8] { value }

    /// The bytes themselves.
    public func value(of bytes: [UInt8]) -> [UInt8] { bytes }
}

private let isoDateWithFraction = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

/// `Codable` values as JSON.
public struct JSONSerializer<Value: Codable>: RecordSerializer {
    /// JSON with sorted keys, so that equal values have equal bytes and compaction and partitioners see equal keys;
    /// dates as ISO 8601 with
    /// milliseconds, and read with or without them.
    public init(_ type: Value.Type = Value.self) {}

    /// The value as JSON.
    public func bytes(of value: Value) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(date.formatted(isoDateWithFraction))
        }
        return Array(try encoder.encode(value))
    }

    /// The value in the JSON.
    public func value(of bytes: [UInt8]) throws -> Value {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = (try? isoDateWithFraction.parse(text)) ?? (try? Date.ISO8601FormatStyle().parse(text))
            else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "'\(text)' is not a date")
            }
            return date
        }
        return try decoder.decode(Value.self, from: Data(bytes))
    }
}

extension RecordSerializer where Self == StringSerializer {
    /// Texts in UTF-8.
    public static var string: StringSerializer { StringSerializer() }
}

extension RecordSerializer where Self == BytesSerializer {
    /// Bytes as they are.
    public static var bytes: BytesSerializer { BytesSerializer() }
}

extension RecordSerializer {
    /// `Codable` values as JSON.
    public static func json<Content: Codable>(_ type: Content.Type) -> JSONSerializer<Content>
    where Self == JSONSerializer<Content> {
        JSONSerializer(type)
    }

    /// As `bytes(of:)`. Throws `serializationFailed`, with the serializer's own error in its message.
    public func serialize(_ value: Value, _ subject: String = "the value") throws(ClientError) -> [UInt8] {
        do {
            return try bytes(of: value)
        } catch let error as ClientError {
            throw error
        } catch {
            throw ClientError(.serializationFailed, "\(subject) cannot be serialized: \(error)")
        }
    }

    /// As `value(of:)`. Throws `serializationFailed`, with the serializer's own error in its message.
    public func deserialize(_ bytes: [UInt8], _ subject: String = "the value") throws(ClientError) -> Value {
        do {
            return try value(of: bytes)
        } catch let error as ClientError {
            throw error
        } catch {
            throw ClientError(.serializationFailed, "\(subject) cannot be read: \(error)")
        }
    }
}

extension ProducerRecord {
    /// A record of a program's own values; nil as key is no key, nil as value a tombstone. Throws
    /// `serializationFailed`, and then nothing was sent.
    public init<Key, Value>(
        topic: String, partition: Int32? = nil, key: Key?, _ keySerializer: some RecordSerializer<Key>, value: Value?,
        _ valueSerializer: some RecordSerializer<Value>, headers: [Header] = [], timestamp: Int64? = nil
    ) throws(ClientError) {
        var keyBytes: [UInt8]?
        if let key { keyBytes = try keySerializer.serialize(key, "the key of a record for '\(topic)'") }
        var valueBytes: [UInt8]?
        if let value { valueBytes = try valueSerializer.serialize(value, "a record for '\(topic)'") }
        self.init(
            topic: topic, partition: partition, key: keyBytes, value: valueBytes, headers: headers,
            timestamp: timestamp)
    }
}
