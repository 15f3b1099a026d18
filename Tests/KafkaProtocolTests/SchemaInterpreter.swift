import Foundation

/// A second, independent reading of the specification: it writes random messages as bytes straight from the text, so
/// that the generated code is not its own judge.
struct SchemaInterpreter {
    struct Versions {
        var lower: Int
        var upper: Int

        init(_ text: Substring) {
            if text == "none" {
                (lower, upper) = (1, 0)
            } else if text.hasSuffix("+") {
                (lower, upper) = (Int(text.dropLast())!, Int.max)
            } else {
                let parts = text.split(separator: "-")
                (lower, upper) = (Int(parts[0])!, Int(parts.last!)!)
            }
        }

        func contains(_ version: Int) -> Bool { lower <= version && version <= upper }
    }

    struct Field {
        var type: String
        var versions: Versions
        var nullable = Versions("none")
        var tag: Int?
        var tagVersions = Versions("none")
        var defaultValue: String?
        var neverFlexible = false
    }

    struct Message {
        var name: String
        var versions: Versions
        var flexible: Versions
        var structs: [String: [Field]]
    }

    let messages: [String: Message]

    /// Reads the specification that stands in the package.
    init() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
            .appendingPathComponent("Sources/KafkaProtocolGenerator/Specification/messages.txt")
        var messages: [String: Message] = [:]
        var current = ""
        var owners: [String] = []
        for line in try String(contentsOf: path, encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let first = words.first, !first.hasPrefix("#") else { continue }
            let depth = line.prefix { $0 == " " }.count / 2
            if depth == 0 {
                current = String(words[1])
                let attributes = Dictionary(
                    uniqueKeysWithValues: words.dropFirst(2).filter { $0.contains("=") }.map { word in
                        let parts = word.split(separator: "=")
                        return (parts[0], parts[1])
                    })
                messages[current] = Message(
                    name: current, versions: Versions(attributes["versions"]!),
                    flexible: Versions(attributes["flexible"]!), structs: [current: []])
                owners = [current]
                continue
            }
            owners.removeSubrange(depth...)
            if first == "common" {
                owners.append(String(words[1]))
                messages[current]!.structs[String(words[1])] = messages[current]!.structs[String(words[1])] ?? []
                continue
            }
            var field = Field(type: String(words[1]), versions: Versions(words[2]))
            for word in words.dropFirst(3) {
                let parts = word.split(separator: "=", omittingEmptySubsequences: false)
                switch parts[0] {
                case "nullable": field.nullable = Versions(parts[1])
                case "default": field.defaultValue = String(parts[1])
                case "flexible": field.neverFlexible = true
                case "tag":
                    let pieces = parts[1].split(separator: "(")
                    field.tag = Int(pieces[0])
                    field.tagVersions = Versions(pieces[1].dropLast())
                default: break
                }
            }
            messages[current]!.structs[owners[depth - 1], default: []].append(field)
            owners.append(field.type.replacingOccurrences(of: "[]", with: ""))
        }
        self.messages = messages
    }

    // MARK: Random messages

    /// Bytes of a message with random content, as a Kafka client would write it.
    func randomBytes(of name: String, version: Int, using generator: inout SeededGenerator) -> [UInt8] {
        let message = messages[name]!
        return structure(name, message, version, depth: 0, &generator)
    }

    private func structure(
        _ name: String, _ message: Message, _ version: Int, depth: Int, _ generator: inout SeededGenerator
    ) -> [UInt8] {
        let isFlexible = message.flexible.contains(version)
        var bytes: [UInt8] = []
        var tagged: [(Int, [UInt8])] = []
        for field in message.structs[name]! {
            if let tag = field.tag {
                guard isFlexible, field.tagVersions.contains(version), Bool.random(using: &generator) else { continue }
                let content = value(field, field.type, message, version, isFlexible, depth, &generator)
                // A writer leaves a tagged field out when it has its default.
                if content != defaultBytes(field, message, version) { tagged.append((tag, content)) }
            } else if field.versions.contains(version) {
                bytes += value(
                    field, field.type, message, version, isFlexible && !field.neverFlexible, depth, &generator)
            }
        }
        if isFlexible {
            bytes += varint(UInt64(tagged.count))
            for (tag, content) in tagged.sorted(by: { $0.0 < $1.0 }) {
                bytes += varint(UInt64(tag)) + varint(UInt64(content.count)) + content
            }
        }
        return bytes
    }

    private func value(
        _ field: Field, _ type: String, _ message: Message, _ version: Int, _ isFlexible: Bool, _ depth: Int,
        _ generator: inout SeededGenerator
    ) -> [UInt8] {
        let isNull = field.nullable.contains(version) && Int.random(in: 0..<4, using: &generator) == 0
        func length(_ count: Int, short: Bool) -> [UInt8] {
            if isFlexible { return varint(UInt64(count + 1)) }
            return short
                ? bigEndian(UInt64(bitPattern: Int64(count)), 2) : bigEndian(UInt64(bitPattern: Int64(count)), 4)
        }
        if type.hasPrefix("[]") {
            if isNull { return length(-1, short: false) }
            let count = depth > 3 ? 0 : Int.random(in: 0...3, using: &generator)
            var plain = field
            plain.nullable = Versions("none")
            return (0..<count).reduce(length(count, short: false)) { bytes, _ in
                bytes + value(plain, String(type.dropFirst(2)), message, version, isFlexible, depth + 1, &generator)
            }
        }
        switch type {
        case "bool": return [UInt8.random(in: 0...1, using: &generator)]
        case "int8": return bigEndian(interesting(&generator), 1)
        case "int16", "uint16": return bigEndian(interesting(&generator), 2)
        case "int32": return bigEndian(interesting(&generator), 4)
        case "int64", "float64": return bigEndian(interesting(&generator) & 0x7FEF_FFFF_FFFF_FFFF, 8)
        case "uuid": return bigEndian(generator.next(), 8) + bigEndian(generator.next(), 8)
        case "string":
            if isNull { return length(-1, short: true) }
            let text = Array(
                ["", "a", "topic-1", "日本", String(repeating: "x", count: 200)].randomElement(using: &generator)!.utf8)
            return length(text.count, short: true) + text
        case "bytes", "records":
            if isNull { return length(-1, short: false) }
            let content = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            return length(content.count, short: false) + content
        default:
            let content = structure(type, message, version, depth: depth + 1, &generator)
            guard field.nullable.contains(version) else { return content }
            return isNull ? [0xFF] : [1] + content
        }
    }

    private func defaultBytes(_ field: Field, _ message: Message, _ version: Int) -> [UInt8] {
        if field.type.hasPrefix("[]") { return field.defaultValue == "null" ? [0] : [1] }
        let number = field.defaultValue.flatMap { text in
            text.hasPrefix("0x") ? Int64(text.dropFirst(2), radix: 16) : Int64(text)
        }
        let integer = UInt64(bitPattern: number ?? 0)
        switch field.type {
        case "bool": return [field.defaultValue == "true" ? 1 : 0]
        case "int8": return bigEndian(integer, 1)
        case "int16", "uint16": return bigEndian(integer, 2)
        case "int32": return bigEndian(integer, 4)
        case "int64", "float64": return bigEndian(integer, 8)
        case "uuid": return [UInt8](repeating: 0, count: 16)
        case "string", "bytes", "records": return field.defaultValue == "null" ? [0] : [1]
        default:
            if field.defaultValue == "null" { return [0xFF] }
            let fields = message.structs[field.type]!.filter { $0.versions.contains(version) && $0.tag == nil }
            return fields.flatMap { defaultBytes($0, message, version) } + [0]
        }
    }

    private func interesting(_ generator: inout SeededGenerator) -> UInt64 {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: 0
        case 1: UInt64.max
        case 2: UInt64.random(in: 0..<100, using: &generator)
        default: generator.next()
        }
    }

    private func bigEndian(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }

    private func varint(_ value: UInt64) -> [UInt8] {
        var rest = value & 0xFFFF_FFFF
        var bytes: [UInt8] = []
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// SplitMix64: the same numbers from the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
