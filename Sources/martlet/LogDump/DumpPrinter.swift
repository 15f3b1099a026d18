/// Prints what is in files, one thing a line: `kind: field: value …`, or a JSON object. Counts the problems.
struct DumpPrinter {
    private let isJSON: Bool
    private let output: OutputBuffer
    private var path = ""
    private var isClosed = false
    private(set) var problemCount = 0

    init(isJSON: Bool, output: OutputBuffer = OutputBuffer()) {
        self.output = output
        self.isJSON = isJSON
    }

    mutating func startFile(_ path: String) {
        self.path = path
        if !isJSON { write("Dumping \(path)") }
    }

    /// `prefix` marks what belongs to the line before.
    mutating func entry(_ kind: String, _ fields: [JSONValue.Field], prefix: String = "") {
        if isJSON {
            write(JSONValue.object([.init("file", .string(path)), .init("kind", .string(kind))] + fields).text)
        } else {
            write(prefix + fields.map { "\($0.name): \(Self.plain($0.value))" }.joined(separator: " "))
        }
    }

    /// `position` is in bytes from the start of the file.
    mutating func problem(_ text: String, at position: Int64?) {
        problemCount += 1
        if isJSON {
            var fields: [JSONValue.Field] = [
                .init("file", .string(path)), .init("kind", .string("problem")), .init("problem", .string(text)),
            ]
            if let position { fields.append(.init("position", .number(position))) }
            write(JSONValue.object(fields).text)
        } else {
            write(position.map { "PROBLEM at position \($0): \(text)" } ?? "PROBLEM: \(text)")
        }
    }

    func finish() throws {
        do {
            try output.flush()
        } catch is OutputClosed {
            // The reader of the pipe has seen enough.
        }
    }

    private mutating func write(_ line: String) {
        guard !isClosed else { return }
        output.bytes += line.utf8
        output.bytes.append(0x0A)
        do {
            try output.flushIfFull()
        } catch {
            isClosed = true
        }
    }

    private static func plain(_ value: JSONValue) -> String {
        if case .string(let text) = value { return text }
        return value.text
    }
}
