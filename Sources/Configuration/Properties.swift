/// The format of Java's properties files, as far as Kafka's configuration files use it: `name=value`, `name: value`,
/// comments with # or !, continuation with a backslash at the line's end, and the escapes \t \n \r \\ \: \=.
package enum Properties {
    package struct Entry: Equatable, Sendable {
        package let line: Int
        package let name: String
        package let value: String
    }

    package static func parse(_ text: String) throws(ConfigurationError) -> [Entry] {
        var entries: [Entry] = []
        var logical = ""
        var firstLine = 0
        // A CR LF is one character in Swift, and a newline.
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            let content = line.drop { $0 == " " || $0 == "\t" }
            if logical.isEmpty {
                if content.isEmpty || content.hasPrefix("#") || content.hasPrefix("!") { continue }
                firstLine = index + 1
            }
            let backslashes = content.reversed().prefix { $0 == "\\" }.count
            if backslashes % 2 == 1 {
                logical += content.dropLast()
                continue
            }
            entries.append(try entry(logical + content, line: firstLine))
            logical = ""
        }
        if !logical.isEmpty { entries.append(try entry(logical, line: firstLine)) }
        return entries
    }

    private static func entry(_ text: String, line: Int) throws(ConfigurationError) -> Entry {
        var name = ""
        var value = ""
        var inValue = false
        var escaped = false
        for character in text {
            if escaped {
                let plain: Character
                switch character {
                case "t": plain = "\t"
                case "n": plain = "\n"
                case "r": plain = "\r"
                default: plain = character
                }
                if inValue { value.append(plain) } else { name.append(plain) }
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if !inValue && (character == "=" || character == ":") {
                inValue = true
            } else if inValue {
                if !value.isEmpty || (character != " " && character != "\t") { value.append(character) }
            } else {
                name.append(character)
            }
        }
        func trimmed(_ text: String) -> String {
            var text = Substring(text)
            while let last = text.last, last == " " || last == "\t" { text.removeLast() }
            return String(text)
        }
        guard inValue, !trimmed(name).isEmpty else {
            throw ConfigurationError("line \(line): expected name=value, found '\(text)'")
        }
        return Entry(line: line, name: trimmed(name), value: trimmed(value))
    }
}
