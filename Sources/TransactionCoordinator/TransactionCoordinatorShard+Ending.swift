import CoordinatorCore
import KafkaProtocol

/// From the decision to the last partition that learns of it.
extension TransactionCoordinatorShard {
    /// Decides a transaction and has it carried out; false when that takes a new producer id, which must be requested
    /// first.
    mutating func decide(_ id: String, isCommit: Bool, transactionVersion: Int16) -> Bool {
        var metadata = transactions[id]!
        var nextProducerId = TransactionMetadata.noProducerId
        if transactionVersion >= TransactionVersion.epochBump && metadata.isEpochExhausted {
            guard let producerId = producerIds.take(for: id) else { return false }
            nextProducerId = producerId
        }
        metadata.prepare(
            isCommit: isCommit, transactionVersion: transactionVersion, nextProducerId: nextProducerId,
            now: effects.now)
        write(id, metadata)
        carryOut(id)
        return true
    }

    /// Aborts an open transaction and fences its producer.
    mutating func abortByCoordinator(_ id: String) -> Bool {
        decide(id, isCommit: false, transactionVersion: TransactionVersion.ofCoordinator)
    }

    /// Has the end written to all partitions of a decided transaction.
    mutating func carryOut(_ id: String) {
        let metadata = transactions[id]!
        if metadata.partitions.isEmpty {
            complete(id)
        } else {
            effects.perform(.writeMarkers(metadata.markers(id, coordinatorEpoch: coordinatorEpoch)))
        }
    }

    /// The end is in place in all partitions of the transaction. Tickets of other transactions are ignored.
    package mutating func markersWritten(
        _ ticket: MarkersTicket, now: Int64, into actions: inout [TransactionAction]
    ) {
        let id = ticket.transactionalId
        guard phase == .active, let metadata = transactions[id], metadata.state.isPrepared,
            metadata.markersTicket(id) == ticket
        else { return }
        effects.now = now
        complete(id)
        finishEvent(into: &actions)
    }

    private mutating func complete(_ id: String) {
        var metadata = transactions[id]!
        metadata.complete(now: effects.now)
        write(id, metadata)
        completed.append(id)
    }

    // MARK: Time

    /// Aborts the transaction if it is open and older than its producer allows.
    mutating func timedOut(_ id: String) {
        guard let metadata = transactions[id], metadata.state == .ongoing, metadata.timeoutDeadline <= effects.now
        else { return }
        if !abortByCoordinator(id) { requestProducerId(for: id) }
    }

    /// Forgets the ids that have been idle for long.
    mutating func expireIdleIds() {
        let limit = effects.now - configuration.transactionalIdExpirationMs
        let idle = transactions.filter { id, metadata in
            metadata.state.isIdle && metadata.lastUpdateTimestamp <= limit && parked[id].isEmpty
        }
        for id in idle.keys.sorted() { remove(id) }
        effects.schedule(.expiration, at: effects.now + configuration.expirationCheckIntervalMs)
    }
}
