import KafkaProtocol

/// Holds replies back until everything that was appended before them is durable.
///
/// A reply may speak of any state of the shard, and state changes at once. So the rule is one for all: a reply leaves
/// when no append that began before it is outstanding. That includes reads, so nobody sees an offset that a crash could
/// take back, and it includes errors, so replies leave in the order of their requests.
struct ReplyQueue: Sendable {
    private struct Outstanding: Sendable {
        let append: AppendToken
        var replies: [PendingReply]
    }

    /// Bounds the batches of divisible records.
    static let divisibleBatchRecords = 1_000

    private var outstanding: [Outstanding] = []
    private var nextAppend: UInt64 = 1

    /// Hands out what an event led to.
    mutating func flush(_ effects: inout GroupEffects, into actions: inout [CoordinatorAction]) {
        let limit = effects.isDivisible ? Self.divisibleBatchRecords : effects.records.count
        var rest = effects.records[...]
        while !rest.isEmpty {
            let token = AppendToken(rawValue: nextAppend)
            nextAppend += 1
            actions.append(.append(records: rest.prefix(limit).map { $0.encoded() }, token: token))
            outstanding.append(Outstanding(append: token, replies: []))
            rest = rest.dropFirst(limit)
        }
        if outstanding.isEmpty {
            for reply in effects.replies { actions.append(.reply(reply.token, reply.response)) }
        } else {
            outstanding[outstanding.count - 1].replies += effects.replies
        }
        effects.records.removeAll(keepingCapacity: true)
        effects.replies.removeAll(keepingCapacity: true)
        effects.isDivisible = false
    }

    /// An append is durable. Appends are durable in order, so those before it are too.
    mutating func succeeded(_ append: AppendToken, into actions: inout [CoordinatorAction]) {
        while let first = outstanding.first, first.append <= append {
            for reply in first.replies { actions.append(.reply(reply.token, reply.response)) }
            outstanding.removeFirst()
        }
    }

    /// An append failed, so nothing that waits is true any more. Those who asked for it learn why; those behind it have
    /// done nothing wrong and are sent to look for a coordinator.
    mutating func failed(_ append: AppendToken, _ error: ErrorCode, into actions: inout [CoordinatorAction]) {
        for entry in outstanding {
            let code = entry.append <= append ? error : AppendError.bystanderCode(for: error)
            for reply in entry.replies { actions.append(.reply(reply.token, reply.response.failed(code))) }
        }
        outstanding.removeAll()
    }

    /// The shard goes away.
    mutating func failAll(_ code: ErrorCode, into actions: inout [CoordinatorAction]) {
        for entry in outstanding {
            for reply in entry.replies { actions.append(.reply(reply.token, reply.response.failed(code))) }
        }
        outstanding.removeAll()
    }
}

/// The error that clients see when records could not be written: which of them make a client look for the coordinator
/// again is part of the protocol.
enum AppendError {
    static func responseCode(for error: ErrorCode) -> ErrorCode {
        switch error {
        case .unknownTopicOrPartition, .notEnoughReplicas, .notEnoughReplicasAfterAppend, .requestTimedOut:
            return .coordinatorNotAvailable
        case .notLeaderOrFollower, .kafkaStorageError:
            return .notCoordinator
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize:
            return .unknownServerError
        default:
            return error
        }
    }

    static func commitResponseCode(for error: ErrorCode) -> ErrorCode {
        switch error {
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize: return .invalidCommitOffsetSize
        default: return responseCode(for: error)
        }
    }

    /// For requests that had no part in the failed append: always one that makes a client try again.
    static func bystanderCode(for error: ErrorCode) -> ErrorCode {
        responseCode(for: error) == .notCoordinator ? .notCoordinator : .coordinatorNotAvailable
    }
}
