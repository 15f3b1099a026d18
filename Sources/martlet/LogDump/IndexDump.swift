import Foundation
import RecordFormat

/// `.index` and `.timeindex`: entries of fixed size, sorted. Checked against the segment beside them when it is there.
struct IndexDump {
    let file: DumpFile
    let baseOffset: Int64

    /// Entries of 8 bytes: offset relative to the base, position in the segment.
    func dumpOffsets(into printer: inout DumpPrinter) throws {
        let bytes = try file.contents()
        let segment = try segmentBeside(&printer)
        var last: (offset: Int32, position: Int32)?
        for start in entryStarts(bytes, entryLength: 8, &printer) {
            let (offset, position): (Int32, Int32) = bytes.withUnsafeBytes {
                ($0.loadBigEndian(at: start), $0.loadBigEndian(at: start + 4))
            }
            printer.entry(
                "offset", [.init("offset", .number(baseOffset + Int64(offset))), .init("position", .number(position))])
            if let last, offset <= last.offset || position <= last.position {
                printer.problem("the entry does not come after the one before", at: Int64(start))
            }
            last = (offset, position)
            try compare(offset, position, with: segment, entryAt: start, &printer)
        }
    }

    /// Entries of 12 bytes: a timestamp, offset relative to the base.
    func dumpTimes(into printer: inout DumpPrinter) throws {
        let bytes = try file.contents()
        var last: (timestamp: Int64, offset: Int32)?
        for start in entryStarts(bytes, entryLength: 12, &printer) {
            let (timestamp, offset): (Int64, Int32) = bytes.withUnsafeBytes {
                ($0.loadBigEndian(at: start), $0.loadBigEndian(at: start + 8))
            }
            printer.entry(
                "time", [.init("timestamp", .number(timestamp)), .init("offset", .number(baseOffset + Int64(offset)))])
            if let last, timestamp < last.timestamp || offset < last.offset {
                printer.problem("the entry does not come after the one before", at: Int64(start))
            }
            last = (timestamp, offset)
        }
    }

    /// Where entries start. Kafka makes indexes at their full size, so zeros may follow the last one.
    private func entryStarts(_ bytes: [UInt8], entryLength: Int, _ printer: inout DumpPrinter) -> [Int] {
        if bytes.count % entryLength != 0 {
            printer.problem("\(bytes.count) bytes are not a whole number of entries of \(entryLength)", at: nil)
        }
        let used = bytes.lastIndex { $0 != 0 }.map { $0 / entryLength + 1 } ?? 0
        return (0..<min(used, bytes.count / entryLength)).map { $0 * entryLength }
    }

    private func segmentBeside(_ printer: inout DumpPrinter) throws -> DumpFile? {
        guard file.path.hasSuffix(".index") else { return nil }
        let path = String(file.path.dropLast(".index".count)) + ".log"
        return FileManager.default.fileExists(atPath: path) ? try DumpFile(path) : nil
    }

    private func compare(
        _ offset: Int32, _ position: Int32, with segment: DumpFile?, entryAt start: Int, _ printer: inout DumpPrinter
    ) throws {
        guard let segment else { return }
        guard position >= 0 else { return printer.problem("a position below zero", at: Int64(start)) }
        let head = try segment.read(RecordBatchHeader.byteCount, at: Int64(position))
        guard let header = head.withUnsafeBytes({ RecordBatchHeader($0) }) else {
            return printer.problem("position \(position) is beyond the segment's end", at: Int64(start))
        }
        let wanted = baseOffset + Int64(offset)
        // Kafka indexes the last offset of a batch; the first is as good for finding it.
        guard header.magic == RecordBatchHeader.currentMagic,
            (header.baseOffset...max(header.baseOffset, header.lastOffset)).contains(wanted)
        else {
            return printer.problem(
                "at position \(position) of the segment is no batch with offset \(wanted)", at: Int64(start))
        }
    }
}
