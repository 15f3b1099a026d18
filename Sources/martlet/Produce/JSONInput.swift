import Foundation
import MartletClient
import RecordFormat

/// A record as one JSON object: what `martlet consume --json` prints can be produced again.
enum JSONInput {
    private static let form = """
        write {"key":…,"value":…,"headers":{…},"partition":…,"timestamp":…}, bytes as keyBase64 and valueBase64
        """
    /// `topic` and `offset` are what consume prints beside the record; the record goes where the command says.
    private static let fields: Set = [
        "topic", "offset", "partition", "timestamp", "headers", "key", "keyBase64", "value", "valueBase64",
    ]

    static func record(
        _ line: ArraySlice<UInt8>, topic: String, partition: Int32?, headers: [Header], now: Int64
    ) throws(CommandFailure) -> ProducerRecord {
        let parsed: Any
        do {
            parsed = try JSONSerialization.jsonObject(with: Data(line))
        } catch {
            throw CommandFailure("not JSON; \(form)")
        }
        guard let object = parsed as? [String: Any] else { throw CommandFailure("not a JSON object; \(form)") }
        if let unknown = object.keys.sorted().first(where: { !fields.contains($0) }) {
            throw CommandFailure("unknown field '\(unknown)'; \(form)")
        }
        guard object.keys.contains(where: { $0.hasPrefix("value") }) else {
            throw CommandFailure("no value; write \"value\":null for a tombstone")
        }
        var record = ProducerRecord(
            topic: topic, partition: partition, key: try bytes("key", object), value: try bytes("value", object),
            headers: headers, timestamp: now)
        if let number = try integer("partition", object), record.partition == nil {
            guard let index = Int32(exactly: number) else { throw CommandFailure("'partition' is out of range") }
            record.partition = index
        }
        if let timestamp = try integer("timestamp", object) { record.timestamp = timestamp }
        record.headers += try self.headers(object["headers"])
        return record
    }

    private static func integer(_ name: String, _ object: [String: Any]) throws(CommandFailure) -> Int64? {
        guard let value = object[name], !(value is NSNull) else { return nil }
        guard let number = value as? NSNumber, let whole = Int64(exactly: number) else {
            throw CommandFailure("'\(name)' is not a whole number")
        }
        return whole
    }

    private static func bytes(_ name: String, _ object: [String: Any]) throws(CommandFailure) -> [UInt8]? {
        if let encoded = object["\(name)Base64"] {
            guard let text = encoded as? String, let data = Data(base64Encoded: text) else {
                throw CommandFailure("'\(name)Base64' is not base64")
            }
            return Array(data)
        }
        guard let value = object[name], !(value is NSNull) else { return nil }
        if let text = value as? String { return Array(text.utf8) }
        // A value that is JSON itself is produced as that JSON.
        do {
            return Array(
                try JSONSerialization.data(
                    withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes]))
        } catch {
            throw CommandFailure("'\(name)' cannot be written as JSON")
        }
    }

    /// Either `{"name":"value"}`, or a list of `{"key":…,"value":…}` for names that come twice.
    private static func headers(_ value: Any?) throws(CommandFailure) -> [Header] {
        guard let value, !(value is NSNull) else { return [] }
        if let object = value as? [String: Any] {
            return try object.sorted { $0.key < $1.key }.map { name, _ throws(CommandFailure) in
                Header(key: name, value: try bytes(name, object))
            }
        }
        guard let list = value as? [[String: Any]] else {
            throw CommandFailure("'headers' is neither an object nor a list of objects")
        }
        return try list.map { entry throws(CommandFailure) in
            guard let bytes = try bytes("key", entry) else { throw CommandFailure("a header without a key") }
            guard let key = String(validating: bytes, as: UTF8.self) else {
                throw CommandFailure("a header's key is not UTF-8")
            }
            return Header(key: key, value: try self.bytes("value", entry))
        }
    }
}
