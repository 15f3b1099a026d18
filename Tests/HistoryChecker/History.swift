/// What the clients of a broker or cluster saw in one run, and the judgement of it.
package struct History: Sendable {
    package var events: [Event]

    package init(_ events: [Event] = []) {
        self.events = events
    }

    package mutating func record(_ process: String, time: Interval? = nil, _ operation: Operation) {
        events.append(Event(process: process, time: time, operation))
    }

    /// Everything wrong with the history, in an order that depends on the history alone.
    package func anomalies() throws(HistoryError) -> [Anomaly] {
        let index = try HistoryIndex(events)
        let checks: [(HistoryIndex) -> [Anomaly]] = [
            writeAnomalies, orderAnomalies, readAnomalies, offsetValueAnomalies, pollAnomalies,
            transactionAnomalies, committedOffsetAnomalies, fetchedOffsetAnomalies,
        ]
        return checks.flatMap { $0(index) }.inStableOrder()
    }
}

/// A history that no run can have produced, so that a judgement would mean nothing.
package enum HistoryError: Error, Hashable, Sendable, CustomStringConvertible {
    case sentTwice(ValueID, TopicPartition)
    case endedTwice(transaction: Int)
    case finalReadByTwo(TopicPartition)
    case negativeOffset(TopicPartition)
    case backwardInterval(process: String)

    package var description: String {
        switch self {
        case .sentTwice(let value, let partition):
            "value \(value) is sent to \(partition) more than once: values must be unique in a partition"
        case .endedTwice(let transaction): "transaction \(transaction) both committed and aborted"
        case .finalReadByTwo(let partition): "two processes report the final read of \(partition)"
        case .negativeOffset(let partition): "a negative offset in \(partition)"
        case .backwardInterval(let process): "an operation of \(process) completes before its invocation"
        }
    }
}
