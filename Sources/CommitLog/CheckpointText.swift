/// Kafka's checkpoint files: a line with the version 0, one with the number of entries, one an entry.
enum CheckpointText {
    static func encode(_ lines: [String]) -> [UInt8] {
        var text = "0\n\(lines.count)\n"
        for line in lines {
            text += line
            text += "\n"
        }
        return Array(text.utf8)
    }

    /// nil when the text is not a whole checkpoint.
    static func decode(_ bytes: [UInt8]) -> [Substring]? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: true)
        guard lines.count >= 2, lines[0] == "0", let count = Int(lines[1]), count == lines.count - 2 else {
            return nil
        }
        return Array(lines.dropFirst(2))
    }
}
