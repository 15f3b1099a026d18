import KafkaProtocol

/// Holds replies and effects back until everything that was appended before them is durable.
///
/// A reply may speak of any state of the shard, and state changes at once. So the rule is one for all: a reply leaves
/// when no append that began before it is outstanding. That includes reads, so nobody sees a state that a crash could
/// take back, and it includes errors, so replies leave in the order of their requests.
package struct ReplyQueue<Response: WithdrawableResponse, Effect: Sendable & Equatable>: Sendable {
    package typealias Action = CoordinatorAction<Response, Effect>

    private struct Outstanding: Sendable {
        let append: AppendToken
        var held: [Action]
    }

    private var outstanding: [Outstanding] = []
    private var nextAppend: UInt64 = 1

    package init() {}

    /// Begins an append.
    package mutating func append(_ batch: CoordinatorBatch, into actions: inout [Action]) {
        let token = AppendToken(rawValue: nextAppend)
        nextAppend += 1
        actions.append(.append(batch, token: token))
        outstanding.append(Outstanding(append: token, held: []))
    }

    /// Hands out a reply or an effect, now or when what was appended so far is durable.
    package mutating func release(_ action: Action, into actions: inout [Action]) {
        if outstanding.isEmpty {
            actions.append(action)
        } else {
            outstanding[outstanding.count - 1].held.append(action)
        }
    }

    /// An append is durable. Appends are durable in order, so those before it are too.
    package mutating func succeeded(_ append: AppendToken, into actions: inout [Action]) {
        while let first = outstanding.first, first.append <= append {
            actions += first.held
            outstanding.removeFirst()
        }
    }

    /// An append failed, so nothing that waits is true any more. Those who asked for it learn why; those behind it have
    /// done nothing wrong and are sent to look for a coordinator. Effects are dropped.
    package mutating func failed(_ append: AppendToken, _ error: ErrorCode, into actions: inout [Action]) {
        for entry in outstanding {
            withdraw(entry.held, entry.append <= append ? error : AppendError.bystanderCode(for: error), into: &actions)
        }
        outstanding.removeAll()
    }

    /// The shard goes away.
    package mutating func failAll(_ code: ErrorCode, into actions: inout [Action]) {
        for entry in outstanding { withdraw(entry.held, code, into: &actions) }
        outstanding.removeAll()
    }

    private func withdraw(_ held: [Action], _ code: ErrorCode, into actions: inout [Action]) {
        for case .reply(let token, let response) in held { actions.append(.reply(token, response.failed(code))) }
    }
}
