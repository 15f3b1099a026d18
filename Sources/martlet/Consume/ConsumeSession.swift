import MartletClient

/// Prints records and counts them.
struct ConsumeSession {
    let output = OutputBuffer()
    private let printer: RecordPrinter
    private let limit: Int?
    private var count = 0

    init(printer: RecordPrinter, limit: Int?) {
        self.printer = printer
        self.limit = limit
    }

    /// As many records as asked for are printed.
    var isDone: Bool { limit.map { count >= $0 } ?? false }

    /// Prints the records before `end`, and no more than the limit. Returns the offset after what is dealt with.
    mutating func print(_ batch: ConsumerBatch, upTo end: Int64?) throws -> Int64 {
        for record in batch {
            if let end, record.offset >= end { return record.offset }
            if isDone { return record.offset }
            printer.append(record, to: &output.bytes)
            try output.flushIfFull()
            count += 1
        }
        return batch.nextOffset
    }
}
