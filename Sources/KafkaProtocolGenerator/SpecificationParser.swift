/// Reads the line-based specification; every complaint names its line.
struct SpecificationParser {
    struct Failure: Error, CustomStringConvertible {
        var line: Int
        var reason: String
        var description: String { "messages.txt:\(line): \(reason)" }
    }

    private var messages: [Message] = []
    /// The struct that each deeper indentation belongs to; index 0 is the message itself (`nil`).
    private var owners: [String?] = []

    static func parse(_ text: String) throws -> [Message] {
        var parser = SpecificationParser()
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            try parser.read(line, number: index + 1)
        }
        return parser.messages
    }

    private mutating func read(_ line: Substring, number: Int) throws {
        let words = line.split(separator: " ")
        guard let first = words.first, !first.hasPrefix("#") else { return }
        let indentation = line.prefix { $0 == " " }.count
        if indentation == 0 {
            try readMessage(words, number: number)
        } else if indentation % 2 != 0 || indentation / 2 > owners.count || messages.isEmpty {
            throw Failure(line: number, reason: "indentation of \(indentation) does not fit the line before")
        } else {
            owners.removeSubrange((indentation / 2)...)
            if first == "common" {
                try readCommonStruct(words, number: number)
            } else {
                try readField(words, number: number)
            }
        }
    }

    private mutating func readMessage(_ words: [Substring], number: Int) throws {
        guard words.count >= 4, let kind = Message.Kind(rawValue: String(words[0])) else {
            throw Failure(line: number, reason: "a message begins with header, request, response or data")
        }
        var message = Message(kind: kind, name: String(words[1]), versions: .none, flexible: .none)
        for word in words.dropFirst(2) {
            if word == "latest-unstable" { continue }
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw Failure(line: number, reason: "what is '\(word)'?") }
            switch parts[0] {
            case "api": message.apiKey = Int(parts[1])
            case "versions": message.versions = try versions(parts[1], number)
            case "flexible": message.flexible = try versions(parts[1], number)
            default: throw Failure(line: number, reason: "what is '\(word)'?")
            }
        }
        messages.append(message)
        owners = [nil]
    }

    private mutating func readCommonStruct(_ words: [Substring], number: Int) throws {
        guard words.count == 3 else { throw Failure(line: number, reason: "common NAME VERSIONS") }
        declareStruct(String(words[1]))
    }

    private mutating func readField(_ words: [Substring], number: Int) throws {
        guard words.count >= 3, words[0].hasSuffix(":") else {
            throw Failure(line: number, reason: "NAME: TYPE VERSIONS [attribute…]")
        }
        var field = Field(
            name: String(words[0].dropLast()), type: FieldType(words[1]), versions: try versions(words[2], number))
        for word in words.dropFirst(3) {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            switch (parts[0], parts.count) {
            case ("key", 1): break
            case ("ignorable", 1): field.isIgnorable = true
            case ("nullable", 2): field.nullable = try versions(parts[1], number)
            case ("default", 2): field.defaultValue = String(parts[1])
            case ("flexible", 2) where parts[1] == "none": field.neverFlexible = true
            case ("tag", 2):
                guard let open = parts[1].firstIndex(of: "("), parts[1].hasSuffix(")"), let tag = Int(parts[1][..<open])
                else { throw Failure(line: number, reason: "tag=NUMBER(VERSIONS)") }
                field.tag = tag
                field.tagVersions = try versions(parts[1][parts[1].index(after: open)...].dropLast(), number)
            default: throw Failure(line: number, reason: "what is '\(word)'?")
            }
        }
        if let owner = owners[owners.count - 1] {
            let place = messages[messages.count - 1].structs.lastIndex { $0.name == owner }!
            messages[messages.count - 1].structs[place].fields.append(field)
        } else {
            messages[messages.count - 1].fields.append(field)
        }
        // Fields that follow deeper belong to this field's struct, if it has one.
        var element = field.type
        while case .array(let inner) = element { element = inner }
        if case .structure(let name) = element {
            declareStruct(name)
        } else {
            owners.append(nil)
            owners[owners.count - 1] = "(a field without fields)"
        }
    }

    /// A struct may be named by several fields and described once, under one of them or as `common`.
    private mutating func declareStruct(_ name: String) {
        if !messages[messages.count - 1].structs.contains(where: { $0.name == name }) {
            messages[messages.count - 1].structs.append(Structure(name: name))
        }
        owners.append(name)
    }

    private func versions(_ text: Substring, _ number: Int) throws -> Versions {
        guard let versions = Versions(text) else {
            throw Failure(line: number, reason: "'\(text)' is no range of versions")
        }
        return versions
    }
}
