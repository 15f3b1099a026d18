/// The parsed specification: what the generator knows of a message before it writes any Swift.

/// An inclusive range of versions; `upper` is `Int.max` for "3+".
struct Versions: Equatable {
    var lower: Int
    var upper: Int

    static let none = Versions(lower: 1, upper: 0)

    var isEmpty: Bool { lower > upper }

    func intersection(_ other: Versions) -> Versions {
        let result = Versions(lower: max(lower, other.lower), upper: min(upper, other.upper))
        return result.isEmpty ? .none : result
    }

    /// "3", "3+", "3-7" or "none".
    init?(_ text: Substring) {
        if text == "none" {
            self = .none
        } else if text.hasSuffix("+"), let lower = Int(text.dropLast()) {
            self.init(lower: lower, upper: Int.max)
        } else if let dash = text.firstIndex(of: "-"), let lower = Int(text[..<dash]),
            let upper = Int(text[text.index(after: dash)...])
        {
            self.init(lower: lower, upper: upper)
        } else if let only = Int(text) {
            self.init(lower: only, upper: only)
        } else {
            return nil
        }
    }

    init(lower: Int, upper: Int) {
        self.lower = lower
        self.upper = upper
    }
}

/// A field's type. Structs are named; their fields stand in `Message.structs`.
indirect enum FieldType: Equatable {
    case bool, int8, int16, uint16, int32, int64, float64, string, bytes, records, uuid
    case structure(String)
    case array(FieldType)

    init(_ text: Substring) {
        if text.hasPrefix("[]") {
            self = .array(FieldType(text.dropFirst(2)))
            return
        }
        switch text {
        case "bool": self = .bool
        case "int8": self = .int8
        case "int16": self = .int16
        case "uint16": self = .uint16
        case "int32": self = .int32
        case "int64": self = .int64
        case "float64": self = .float64
        case "string": self = .string
        case "bytes": self = .bytes
        case "records": self = .records
        case "uuid": self = .uuid
        default: self = .structure(String(text))
        }
    }
}

struct Field {
    var name: String
    var type: FieldType
    var versions: Versions
    var nullable = Versions.none
    var tag: Int?
    var tagVersions = Versions.none
    var defaultValue: String?
    var isIgnorable = false
    var neverFlexible = false
}

struct Structure {
    var name: String
    var fields: [Field] = []
}

struct Message {
    enum Kind: String { case header, request, response, data }

    var kind: Kind
    var name: String
    var apiKey: Int?
    var versions: Versions
    var flexible: Versions
    var fields: [Field] = []
    var structs: [Structure] = []
}
