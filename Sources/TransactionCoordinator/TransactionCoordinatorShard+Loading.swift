import CoordinatorCore
import KafkaProtocol

/// State from records: those of the log when it is loaded, and those that a handler makes.
extension TransactionCoordinatorShard {
    /// Takes the next record of the log. Kinds of records that this build does not know are counted and skipped.
    package mutating func replay(
        key: [UInt8], value: [UInt8]?, by producer: TransactionalProducer?
    ) throws(ProtocolDecodingError) {
        precondition(phase == .loading, "replay after finishLoading")
        switch try TransactionRecord.decode(key: key, value: value) {
        case .metadata(let id, let metadata): transactions[id] = metadata
        case .tombstone(let id): transactions[id] = nil
        case .unknown(let keyVersion): skippedKeyVersions[keyVersion, default: 0] += 1
        }
    }

    package mutating func replay(_ end: TransactionEnd) {}

    /// Ends loading: what was decided is carried out, and open transactions get their time-outs.
    package mutating func finishLoading(now: Int64, into actions: inout [TransactionAction]) {
        precondition(phase == .loading, "finishLoading twice")
        phase = .active
        effects.now = now
        for id in transactions.keys.sorted() {
            let metadata = transactions[id]!
            if metadata.state == .ongoing {
                effects.schedule(.timeout(transactionalId: id), at: metadata.timeoutDeadline)
            } else if metadata.state.isPrepared {
                carryOut(id)
            }
        }
        effects.schedule(.expiration, at: now + configuration.expirationCheckIntervalMs)
        finishEvent(into: &actions)
    }

    /// The one place where the state of an id changes.
    mutating func write(_ id: String, _ metadata: TransactionMetadata) {
        transactions[id] = metadata
        effects.records.append(TransactionRecord.encode(id, metadata))
        if metadata.state == .ongoing {
            effects.schedule(.timeout(transactionalId: id), at: metadata.timeoutDeadline)
        } else {
            effects.cancel(.timeout(transactionalId: id))
        }
    }

    mutating func remove(_ id: String) {
        transactions[id] = nil
        effects.records.append(TransactionRecord.encode(id, nil))
    }
}
