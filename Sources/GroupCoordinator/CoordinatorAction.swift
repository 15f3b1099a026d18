/// Names an append while it is outstanding. They count up; appends must be written in this order.
package struct AppendToken: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (left: AppendToken, right: AppendToken) -> Bool { left.rawValue < right.rawValue }
}

/// What the driver must do, in the order given.
package enum CoordinatorAction: Sendable, Equatable {
    /// Write the records as one batch to the shard's partition of `__consumer_offsets`, then call `appended`.
    case append(records: [CoordinatorRecord], token: AppendToken)
    case reply(RequestToken, CoordinatorResponse)
}
