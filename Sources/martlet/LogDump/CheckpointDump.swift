/// Checkpoints: text with the version 0, the number of entries, and an entry a line.
enum CheckpointDump {
    static func dump(_ bytes: [UInt8], isEpochs: Bool, into printer: inout DumpPrinter) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return printer.problem("not text", at: nil) }
        let lines = text.split(separator: "\n")
        guard let version = lines.first else { return printer.problem("empty", at: nil) }
        guard version == "0" else { return printer.problem("version \(version) instead of 0", at: nil) }
        guard lines.count >= 2, let count = Int(lines[1]) else {
            return printer.problem("the second line is not a number of entries", at: nil)
        }
        for (index, line) in lines.dropFirst(2).enumerated() {
            let parts = line.split(separator: " ")
            if isEpochs, parts.count == 2, let epoch = Int64(parts[0]), let offset = Int64(parts[1]) {
                printer.entry("epoch", [.init("epoch", .number(epoch)), .init("startOffset", .number(offset))])
            } else if !isEpochs, parts.count == 3, let partition = Int64(parts[1]), let offset = Int64(parts[2]) {
                printer.entry(
                    "offset",
                    [
                        .init("topic", .string(String(parts[0]))), .init("partition", .number(partition)),
                        .init("offset", .number(offset)),
                    ])
            } else {
                printer.problem("line \(index + 3) is not an entry: '\(line)'", at: nil)
            }
        }
        if count != lines.count - 2 {
            printer.problem("\(count) entries are declared, \(lines.count - 2) are there", at: nil)
        }
    }
}
