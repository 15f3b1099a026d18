import RecordFormat

/// `.txnindex`: aborted transactions, 34 bytes each.
enum TransactionIndexDump {
    private static let entryLength = 34

    static func dump(_ bytes: [UInt8], into printer: inout DumpPrinter) {
        bytes.withUnsafeBytes { buffer in
            var position = 0
            while buffer.count - position >= entryLength {
                let version = buffer.loadBigEndian(at: position, as: Int16.self)
                guard version == 0 else {
                    return printer.problem("version \(version) instead of 0; the rest is not read", at: Int64(position))
                }
                let firstOffset: Int64 = buffer.loadBigEndian(at: position + 10)
                let lastOffset: Int64 = buffer.loadBigEndian(at: position + 18)
                printer.entry(
                    "aborted",
                    [
                        .init("version", .number(version)),
                        .init("producerId", .number(buffer.loadBigEndian(at: position + 2, as: Int64.self))),
                        .init("firstOffset", .number(firstOffset)), .init("lastOffset", .number(lastOffset)),
                        .init("lastStableOffset", .number(buffer.loadBigEndian(at: position + 26, as: Int64.self))),
                    ])
                if firstOffset > lastOffset {
                    printer.problem("the transaction ends before it begins", at: Int64(position))
                }
                position += entryLength
            }
            if position < buffer.count {
                printer.problem("\(buffer.count - position) bytes are left, less than an entry", at: Int64(position))
            }
        }
    }
}
