import RecordFormat

/// `.snapshot`: the producers of a partition. Version (2 bytes), CRC-32C of what follows it (4), their number (4), 46
/// bytes for each.
enum SnapshotDump {
    private static let headLength = 10
    private static let entryLength = 46

    static func dump(_ bytes: [UInt8], into printer: inout DumpPrinter) {
        bytes.withUnsafeBytes { buffer in
            guard buffer.count >= headLength else {
                return printer.problem("\(buffer.count) bytes, less than a snapshot's head", at: 0)
            }
            let version = buffer.loadBigEndian(at: 0, as: Int16.self)
            guard version == 1 else { return printer.problem("version \(version) instead of 1", at: 0) }
            let declared = buffer.loadBigEndian(at: 2, as: UInt32.self)
            let computed = crc32c(buffer.slice(6..<buffer.count))
            if declared != computed {
                printer.problem("the checksum is \(declared), of the bytes it would be \(computed)", at: 2)
            }
            let count = Int(buffer.loadBigEndian(at: 6, as: Int32.self))
            let whole = (buffer.count - headLength) / entryLength
            if count != whole || (buffer.count - headLength) % entryLength != 0 {
                printer.problem(
                    "\(count) producers are declared, \(buffer.count - headLength) bytes of \(entryLength) each follow",
                    at: 6)
            }
            for index in 0..<max(0, min(count, whole)) {
                dumpEntry(buffer, at: headLength + index * entryLength, into: &printer)
            }
        }
    }

    private static func dumpEntry(_ buffer: UnsafeRawBufferPointer, at start: Int, into printer: inout DumpPrinter) {
        let transactionFirstOffset: Int64 = buffer.loadBigEndian(at: start + 38)
        printer.entry(
            "producer",
            [
                .init("producerId", .number(buffer.loadBigEndian(at: start, as: Int64.self))),
                .init("producerEpoch", .number(buffer.loadBigEndian(at: start + 8, as: Int16.self))),
                .init("lastSequence", .number(buffer.loadBigEndian(at: start + 10, as: Int32.self))),
                .init("lastOffset", .number(buffer.loadBigEndian(at: start + 14, as: Int64.self))),
                .init("offsetDelta", .number(buffer.loadBigEndian(at: start + 22, as: Int32.self))),
                .init("lastTimestamp", .number(buffer.loadBigEndian(at: start + 26, as: Int64.self))),
                .init("coordinatorEpoch", .number(buffer.loadBigEndian(at: start + 34, as: Int32.self))),
                .init(
                    "currentTxnFirstOffset",
                    transactionFirstOffset < 0 ? .null : .number(transactionFirstOffset)),
            ])
    }
}
