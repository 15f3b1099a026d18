import MartletClient
import RecordFormat

/// Prints records and counts them.
struct ConsumeSession {
    let output = OutputBuffer()
    private let printer: RecordPrinter
    private let reader = RecordBatchReader()
    private let limit: Int?
    private var count = 0

    init(printer: RecordPrinter, limit: Int?) {
        self.printer = printer
        self.limit = limit
    }

    /// As many records as asked for are printed.
    var isDone: Bool { limit.map { count >= $0 } ?? false }

    /// Prints the records before `end`, and no more than the limit. Returns the offset after what is dealt with.
    mutating func print(_ records: FetchedRecords, upTo end: Int64?) throws -> Int64 {
        var count = count
        var next = records.nextOffset
        var failure: (any Error)?
        try records.forEachRecord(with: reader) { record in
            if let end, record.offset >= end {
                next = record.offset
                return false
            }
            if let limit, count >= limit {
                next = record.offset
                return false
            }
            do {
                try printer.append(record, of: records.partition, to: &output.bytes)
                try output.flushIfFull()
            } catch {
                failure = error
                return false
            }
            count += 1
            return true
        }
        self.count = count
        if let failure { throw failure }
        return next
    }
}
