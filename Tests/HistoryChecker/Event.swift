/// What one client did and what it was told. A history is a list of these.
///
/// Events of one process stand in the history in the order in which the process did them. Between processes
/// only `time` orders: what carries no time is concurrent with everything that other processes do.
package struct Event: Hashable, Sendable {
    /// The client: one producer session or one consumer. A client that starts anew is another process.
    package var process: String
    package var time: Interval?
    package var operation: Operation

    package init(process: String, time: Interval? = nil, _ operation: Operation) {
        self.process = process
        self.time = time
        self.operation = operation
    }
}

/// From the call to its answer, on one monotonic clock for all processes, in any unit.
package struct Interval: Hashable, Sendable {
    package var invoked: Int
    package var completed: Int

    package init(invoked: Int, completed: Int) {
        self.invoked = invoked
        self.completed = completed
    }
}

package enum Operation: Hashable, Sendable {
    case send(Send)
    case transactionEnd(TransactionEnd)
    case poll(Poll)
    case position(PositionMark)
    case offsetCommit(OffsetCommit)
    case offsetFetch(OffsetFetch)
    case finalRead(FinalRead)
}

package struct TopicPartition: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32

    package init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic)-\(partition)" }

    package static func < (left: TopicPartition, right: TopicPartition) -> Bool {
        (left.topic, left.partition) < (right.topic, right.partition)
    }
}

/// What tells a written value from every other value of its partition.
package enum ValueID: Hashable, Sendable, Comparable, CustomStringConvertible {
    case number(Int64)
    case text(String)

    package var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .text(let text): "\"\(text)\""
        }
    }
}

extension ValueID: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    package init(integerLiteral value: Int64) { self = .number(value) }
    package init(stringLiteral value: String) { self = .text(value) }
}

/// One value handed to a producer. A value is sent once to a partition in a history: whoever tries again after a
/// failure (other than the client's own retries) sends another value.
package struct Send: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// The offset is nil when the reply named none (acks=0, or a repeated batch that the broker remembered no
        /// offset for).
        case acknowledged(offset: Int64?)
        /// Certainly not written.
        case refused
        case unknown
    }

    package var partition: TopicPartition
    package var value: ValueID
    /// The history's own number of the attempt at a transaction.
    package var transaction: Int?
    package var isIdempotent: Bool
    package var outcome: Outcome

    package init(
        _ value: ValueID, to partition: TopicPartition, transaction: Int? = nil, isIdempotent: Bool = true,
        _ outcome: Outcome
    ) {
        self.partition = partition
        self.value = value
        self.transaction = transaction
        self.isIdempotent = isIdempotent
        self.outcome = outcome
    }
}

/// The end of a transaction. There may be several of one transaction, when an unknown end was asked for again; a
/// transaction without any is one of unknown outcome.
package struct TransactionEnd: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        case committed
        /// Asked to abort, or certain not to commit because its producer was fenced before it asked.
        case aborted
        case unknown
    }

    package var transaction: Int
    package var outcome: Outcome

    package init(_ transaction: Int, _ outcome: Outcome) {
        self.transaction = transaction
        self.outcome = outcome
    }
}

package enum IsolationLevel: Hashable, Sendable {
    case readUncommitted
    case readCommitted
}

package struct Record: Hashable, Sendable {
    package var partition: TopicPartition
    package var offset: Int64
    package var value: ValueID

    package init(_ partition: TopicPartition, offset: Int64, value: ValueID) {
        self.partition = partition
        self.offset = offset
        self.value = value
    }
}

/// What one poll returned, in the order in which the application saw it.
package struct Poll: Hashable, Sendable {
    package var isolation: IsolationLevel
    package var records: [Record]

    package init(_ isolation: IsolationLevel, _ records: [Record]) {
        self.isolation = isolation
        self.records = records
    }
}

/// After which a consumer may go on elsewhere than after the last record it returned.
package enum PositionMark: Hashable, Sendable {
    case assigned([TopicPartition])
    case revoked([TopicPartition])
    /// The next record is the first visible one at or after this offset.
    case set(TopicPartition, offset: Int64)
}

package struct OffsetCommit: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        case acknowledged
        case refused
        case unknown
    }

    package var group: String
    package var partition: TopicPartition
    /// The offset of the next record to read.
    package var offset: Int64
    /// The attempt that the commit is part of: it counts when the transaction commits.
    package var transaction: Int?
    package var outcome: Outcome

    package init(
        _ group: String, _ partition: TopicPartition, offset: Int64, transaction: Int? = nil, _ outcome: Outcome
    ) {
        self.group = group
        self.partition = partition
        self.offset = offset
        self.transaction = transaction
        self.outcome = outcome
    }
}

/// What a group was told as committed. Failed fetches are not recorded.
package struct OffsetFetch: Hashable, Sendable {
    package var group: String
    package var partition: TopicPartition
    /// Nil when the group was told that there is none.
    package var offset: Int64?
    /// Waits for the end of transactions that hold offsets of the partition (KIP-447); consumers at read_committed do.
    package var requiresStable: Bool
    /// Made after every other operation and every transaction had come to its end.
    package var isFinal: Bool

    package init(
        _ group: String, _ partition: TopicPartition, offset: Int64?, requiresStable: Bool = true,
        isFinal: Bool = false
    ) {
        self.group = group
        self.partition = partition
        self.offset = offset
        self.requiresStable = requiresStable
        self.isFinal = isFinal
    }
}

/// A partition read from its beginning to its end at read_committed, after every transaction had come to its end.
/// One process reads a partition; it may report it in several pieces, in order.
package struct FinalRead: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package var offset: Int64
        package var value: ValueID

        package init(offset: Int64, value: ValueID) {
            self.offset = offset
            self.value = value
        }
    }

    package var partition: TopicPartition
    package var entries: [Entry]
    /// One more than the last offset, markers of transactions included, as ListOffsets tells it.
    package var endOffset: Int64?

    package init(_ partition: TopicPartition, _ entries: [Entry], endOffset: Int64? = nil) {
        self.partition = partition
        self.entries = entries
        self.endOffset = endOffset
    }
}
