import RecordFormat

/// A `.log` file: its batches and, when asked for, their records.
struct SegmentDump {
    /// A longer batch is taken for damage; Kafka's largest setting is near it.
    private static let longestBatch = 1 << 30

    let file: DumpFile
    let baseOffset: Int64
    let printsRecords: Bool
    let decodesOffsets: Bool
    private let reader = RecordBatchReader()

    init(file: DumpFile, baseOffset: Int64, printsRecords: Bool, decodesOffsets: Bool) {
        self.file = file
        self.baseOffset = baseOffset
        self.printsRecords = printsRecords
        self.decodesOffsets = decodesOffsets
    }

    func dump(into printer: inout DumpPrinter) throws {
        var position: Int64 = 0
        var expected = baseOffset
        while position < file.length {
            let head = try file.read(RecordBatchHeader.byteCount, at: position)
            guard let header = head.withUnsafeBytes({ RecordBatchHeader($0) }) else {
                printer.problem("\(head.count) bytes are left, less than a batch's header", at: position)
                return
            }
            guard header.magic == RecordBatchHeader.currentMagic else {
                printer.problem(
                    head.allSatisfy { $0 == 0 }
                        ? "zeros instead of a batch; the rest of the file is not read"
                        : "magic \(header.magic) instead of 2: an older format, or damage; the rest is not read",
                    at: position)
                return
            }
            guard header.totalLength >= RecordBatchHeader.byteCount, header.totalLength <= Self.longestBatch,
                Int64(header.totalLength) <= file.length - position
            else {
                printer.problem(
                    "the batch claims \(header.totalLength) bytes, \(file.length - position) are left", at: position)
                return
            }
            let batch = try file.read(header.totalLength, at: position)
            // What a damaged header says of offsets is not held against the batches after it.
            if dump(batch, header, position, expected, into: &printer) { expected = max(expected, header.nextOffset) }
            position += Int64(header.totalLength)
        }
    }

    /// Returns whether the checksum is right.
    private func dump(
        _ batch: [UInt8], _ header: RecordBatchHeader, _ position: Int64, _ expected: Int64,
        into printer: inout DumpPrinter
    ) -> Bool {
        let computed = batch.withUnsafeBytes { crc32c($0.slice(RecordBatchHeader.checksumStart..<$0.count)) }
        let timestamp = header.attributes.contains(.logAppendTime) ? "LogAppendTime" : "CreateTime"
        printer.entry(
            "batch",
            [
                .init("baseOffset", .number(header.baseOffset)), .init("lastOffset", .number(header.lastOffset)),
                .init("count", .number(header.recordCount)), .init("baseSequence", .number(header.baseSequence)),
                .init("lastSequence", .number(header.lastSequence)), .init("producerId", .number(header.producerId)),
                .init("producerEpoch", .number(header.producerEpoch)),
                .init("partitionLeaderEpoch", .number(header.partitionLeaderEpoch)),
                .init("isTransactional", .bool(header.isTransactional)), .init("isControl", .bool(header.isControl)),
                .init("position", .number(position)), .init(timestamp, .number(header.maxTimestamp)),
                .init("size", .number(batch.count)), .init("magic", .number(header.magic)),
                .init("compresscodec", .string(header.codec?.name ?? "unknown")), .init("crc", .number(header.crc)),
                .init("isvalid", .bool(computed == header.crc)),
            ])
        if computed != header.crc {
            printer.problem("the checksum is \(header.crc), of the bytes it would be \(computed)", at: position)
            return false
        }
        if header.baseOffset < expected {
            printer.problem("base offset \(header.baseOffset) where \(expected) or more is due", at: position)
        }
        dumpRecords(batch, header, position, into: &printer)
        return true
    }

    /// Records are read in any case, so that damage under a sound checksum is found.
    private func dumpRecords(
        _ batch: [UInt8], _ header: RecordBatchHeader, _ position: Int64, into printer: inout DumpPrinter
    ) {
        var local = printer
        do {
            try batch.withUnsafeBytes { bytes in
                var index: Int32 = 0
                try reader.forEachRecord(of: bytes) { record throws(RecordFormatError) in
                    if printsRecords { local.entry("record", try fields(record, header, index), prefix: "| ") }
                    index += 1
                }
            }
        } catch {
            local.problem("its records cannot be read: \(error)", at: position)
        }
        printer = local
    }

    private func fields(
        _ record: RecordView, _ header: RecordBatchHeader, _ index: Int32
    ) throws(RecordFormatError) -> [JSONValue.Field] {
        var fields: [JSONValue.Field] = [
            .init("offset", .number(record.offset)), .init("timestamp", .number(record.timestamp)),
            .init("keySize", .number(record.key?.count ?? -1)), .init("valueSize", .number(record.value?.count ?? -1)),
        ]
        if header.baseSequence >= 0 {
            fields.append(
                .init("sequence", .number(RecordBatchHeader.sequence(header.baseSequence, advancedBy: index))))
        }
        if record.headerCount > 0 {
            fields.append(
                .init(
                    "headerKeys",
                    .array(try record.headers().map { .string(String(decoding: $0.key, as: UTF8.self)) })))
        }
        if header.isControl { return fields + ControlRecordDump.fields(record) }
        if decodesOffsets, let decoded = OffsetsRecordDump.fields(record) { return fields + decoded }
        return fields + [Self.field("key", record.key), Self.field("payload", record.value)]
    }

    /// Text where the bytes are UTF-8, base64 otherwise.
    private static func field(_ name: String, _ bytes: UnsafeRawBufferPointer?) -> JSONValue.Field {
        guard let bytes else { return .init(name, .null) }
        if let text = String(validating: bytes, as: UTF8.self) { return .init(name, .string(text)) }
        var encoded: [UInt8] = []
        JSONText.appendBase64(bytes, to: &encoded)
        return .init("\(name)Base64", .string(String(decoding: encoded, as: UTF8.self)))
    }
}
