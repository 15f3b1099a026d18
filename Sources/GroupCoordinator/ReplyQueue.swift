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

    private var outstanding: [Outstanding] = []
    private var nextAppend: UInt64 = 1

    /// Hands out what an event led to.
    mutating func flush(_ effects: inout GroupEffects, into actions: inout [CoordinatorAction]) {
        if !effects.records.isEmpty {
            let token = AppendToken(rawValue: nextAppend)
            nextAppend += 1
            actions.append(.append(records: effects.records.map { $0.encoded() }, token: token))
            outstanding.append(Outstanding(append: token, replies: effects.replies))
        } else if outstanding.isEmpty {
            for reply in effects.replies { actions.append(.reply(reply.token, reply.response)) }
        } else {
            outstanding[outstanding.count - 1].replies += effects.replies
        }
        effects.records.removeAll(keepingCapacity: true)
        effects.replies.removeAll(keepingCapacity: true)
    }

    /// An append is durable. Appends are durable in order, so those before it are too.
    mutating func succeeded(_ append: AppendToken, into actions: inout [CoordinatorAction]) {
        while let first = outstanding.first, first.append <= append {
            for reply in first.replies { actions.append(.reply(reply.token, reply.response)) }
            outstanding.removeFirst()
        }
    }

    /// An append failed, or the log is lost: nothing that waits is true any more.
    mutating func failAll(_ code: ErrorCode, into actions: inout [CoordinatorAction]) {
        for entry in outstanding {
            for reply in entry.replies { actions.append(.reply(reply.token, reply.response.failed(code))) }
        }
        outstanding.removeAll()
    }
}

/// The error that members see when their records could not be written: which of them make a client look for the
/// coordinator again is part of the protocol.
enum AppendError {
    static func responseCode(for code: ErrorCode) -> ErrorCode {
        switch code {
        case .unknownTopicOrPartition, .notEnoughReplicas, .notEnoughReplicasAfterAppend, .requestTimedOut:
            return .coordinatorNotAvailable
        case .notLeaderOrFollower, .kafkaStorageError:
            return .notCoordinator
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize:
            return .unknownServerError
        default:
            return code
        }
    }
}
