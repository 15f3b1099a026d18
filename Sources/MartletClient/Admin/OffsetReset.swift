/// Where a group's offset is to be moved, and the arithmetic of it.
package enum OffsetReset: Sendable, Equatable {
    case earliest
    case latest
    case offset(Int64)
    /// The first record at or after a time, in milliseconds since the epoch; the end when there is none so late.
    case timestamp(Int64)
    /// Forward or, below zero, back from what is committed.
    case shift(Int64)

    /// The new offset, always one that the partition holds or its end. `found` is the offset at the timestamp, nil or
    /// negative when no record is so late. nil when there is nothing to shift from.
    package func newOffset(committed: Int64?, earliest: Int64, latest: Int64, found: Int64? = nil) -> Int64? {
        let wanted: Int64
        switch self {
        case .earliest: wanted = earliest
        case .latest: wanted = latest
        case .offset(let offset): wanted = offset
        case .timestamp: wanted = found.map { $0 < 0 ? latest : $0 } ?? latest
        case .shift(let distance):
            guard let committed else { return nil }
            let (sum, overflows) = committed.addingReportingOverflow(distance)
            wanted = overflows ? (distance < 0 ? earliest : latest) : sum
        }
        return min(max(wanted, earliest), max(earliest, latest))
    }
}
