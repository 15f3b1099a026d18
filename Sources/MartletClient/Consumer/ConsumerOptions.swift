package struct ConsumerOptions: Sendable {
    /// Where to go on when a position is outside of what the partition holds.
    package enum ResetPolicy: Sendable {
        case earliest
        case latest
        /// Report it.
        case none
    }

    package var resetPolicy = ResetPolicy.none
    /// How long a broker may wait for records before it answers with none.
    package var maximumWait: Duration = .milliseconds(500)
    package var maximumBytes: Int32 = 32 << 20
    package var maximumPartitionBytes: Int32 = 4 << 20
    /// Replies that may wait for `poll`; the next fetches are under way meanwhile.
    package var maximumWaitingReplies = 2
    /// Leave out records of aborted transactions and those of open ones.
    package var readsCommittedOnly = false

    package init() {}
}
