/// A place in a partition to consume from.
public enum ConsumerPosition: Sendable, Hashable {
    /// Where the group has committed; without that, or without a group, as `offsetReset` says.
    case committed
    /// The first record that is still there.
    case beginning
    /// What comes from now on; with `readCommitted` from the first open transaction on.
    case end
    /// The record with this offset or the next one that there is.
    case offset(Int64)
    /// The first record with at least this timestamp, in milliseconds since the epoch; the end when there is none.
    case timestamp(Int64)

    var start: ConsumerCore.Start {
        switch self {
        case .committed: .committed
        case .beginning: .place(.earliest)
        case .end: .place(.latest)
        case .offset(let offset): .offset(ConsumedOffset(offset))
        case .timestamp(let milliseconds): .place(.timestamp(milliseconds))
        }
    }

    func check() throws(ClientError) {
        switch self {
        case .offset(let number) where number < 0, .timestamp(let number) where number < 0:
            throw ClientError(.invalidArgument, "offsets and timestamps must not be negative: \(number)")
        default: break
        }
    }
}
