import KafkaProtocol

/// Names a request while its reply is outstanding. The driver makes them; they must be unique among open requests.
package struct RequestToken: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// Names an append while it is outstanding. They count up; appends must be written in this order.
package struct AppendToken: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (left: AppendToken, right: AppendToken) -> Bool { left.rawValue < right.rawValue }
}

/// What the driver must do, in the order given.
package enum CoordinatorAction<Response: WithdrawableResponse, Effect: Sendable & Equatable>: Sendable, Equatable {
    /// Write the batch to the shard's partition, then call `appended`.
    case append(CoordinatorBatch, token: AppendToken)
    case reply(RequestToken, Response)
    /// Whatever else the state machine wants of the world.
    case perform(Effect)
}

/// An answer that can still be turned into an error before it is sent.
package protocol WithdrawableResponse: Sendable, Equatable {
    /// The same answer, withdrawn: the records it spoke of were not written, or were written to a log that is lost.
    func failed(_ error: ErrorCode) -> Self
}
