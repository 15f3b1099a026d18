import CoordinatorCore
import KafkaProtocol

/// Requests that cannot be answered yet.
extension TransactionCoordinatorShard {
    /// Whether an earlier request of the same producer waits. Clients send the end of a transaction without waiting for
    /// the answer to what they added to it; an end that came first would miss the transaction that is then begun.
    func mustQueue(_ pending: PendingRequest) -> Bool {
        guard let producer = pending.request.producer, let id = pending.request.transactionalId else { return false }
        return parked[id].contains { $0.waitsFor == .completion && $0.request.producer == producer }
    }

    mutating func park(_ pending: PendingRequest, _ reason: Wait) {
        guard let id = pending.request.transactionalId else {
            preconditionFailure("a request without transactional id waits")
        }
        guard parked[id].count < TransactionLimits.parkedRequests else {
            refuse(pending, .concurrentTransactions)
            return
        }
        var pending = pending
        pending.waitsFor = reason
        switch reason {
        case .producerId:
            requestProducerId(for: id)
        case .completion:
            let deadline = pending.deadline ?? effects.now + TransactionLimits.completionWaitMs
            pending.deadline = deadline
            parked.append(pending, at: id)
            scheduleParkedTimer(id)
            return
        }
        parked.append(pending, at: id)
    }

    /// Handles everything anew that waits at the id.
    mutating func resume(_ id: String) {
        effects.cancel(.parked(transactionalId: id))
        for pending in parked.removeAll(at: id) { process(pending) }
    }

    mutating func waitedEnough(_ id: String) {
        let now = effects.now
        let late = parked.remove(at: id) { $0.waitsFor == .completion && $0.deadline! <= now }
        for pending in late { refuse(pending, .concurrentTransactions) }
        scheduleParkedTimer(id)
    }

    private mutating func scheduleParkedTimer(_ id: String) {
        let deadlines = parked[id].lazy.filter { $0.waitsFor == .completion }.compactMap(\.deadline)
        guard let first = deadlines.min() else { return }
        effects.schedule(.parked(transactionalId: id), at: first)
    }

    // MARK: Producer ids

    mutating func requestProducerId(for id: String) {
        if let ticket = producerIds.request(for: id) { effects.performAtOnce(.allocateProducerId(ticket)) }
    }

    /// Answers a ticket. Tickets that this machine does not know are ignored.
    package mutating func producerIdAllocated(
        _ ticket: ProducerIdTicket, _ result: Result<Int64, ProducerIdError>, now: Int64,
        into actions: inout [TransactionAction]
    ) {
        guard phase == .active, producerIds.close(ticket) else { return }
        effects.now = now
        let id = ticket.transactionalId
        switch result {
        case .success(let producerId):
            producerIds.offer(producerId, to: id)
            timedOut(id)
            resume(id)
            producerIds.withdrawOffer()
        case .failure(let error):
            for pending in parked.remove(at: id, where: { $0.waitsFor == .producerId }) {
                refuse(pending, error.code)
            }
            if let metadata = transactions[id], metadata.state == .ongoing {
                let retry = now + TransactionLimits.producerIdRetryMs
                effects.schedule(.timeout(transactionalId: id), at: max(metadata.timeoutDeadline, retry))
            }
        }
        finishEvent(into: &actions)
    }
}
