import CoordinatorCore
import KafkaProtocol

@testable import TransactionCoordinator

/// What must be true after each event.
extension TransactionWorld {
    mutating func count(_ what: String) { counts[what, default: 0] += 1 }

    /// Checks what the last event has led to.
    mutating func settle(comparing: Bool = true) {
        for record in harness.log[takenRecords...] {
            if let problem = model.take(record) { problems.append(problem) }
        }
        takenRecords = harness.log.count
        for action in harness.actions[takenActions...] { take(action) }
        takenActions = harness.actions.count
        if comparing && written != harness.shard.transactions.mapValues(\.persisted) {
            problems.append("state that is not in the records")
            written = harness.shard.transactions.mapValues(\.persisted)
        }
    }

    private mutating func take(_ action: TransactionAction) {
        switch action {
        case .append(.records(let records), _):
            for record in records {
                switch try? TransactionRecord.decode(key: record.key, value: record.value) {
                case .metadata(let id, let metadata):
                    written[id] = metadata
                    count("\(metadata.state)")
                    if metadata.nextProducerId != -1 { count("rotation") }
                case .tombstone(let id):
                    written[id] = nil
                    count("tombstone")
                case nil, .unknown: problems.append("an unreadable record")
                }
            }
        case .append: problems.append("an append that is not records")
        case .perform(.writeMarkers(let markers)): take(markers)
        case .perform(.allocateProducerId): count("ticket")
        case .reply(let token, let response):
            guard let sent = open.removeValue(forKey: token) else {
                problems.append("an answer to nobody")
                return
            }
            take(response, to: sent)
        }
    }

    private mutating func take(_ markers: TransactionMarkers) {
        heldDecisions.append(model.currentDecision(markers.ticket.transactionalId))
        guard let metadata = model.current(markers.ticket.transactionalId), metadata.state.isPrepared,
            markers.partitions == metadata.partitions.sorted(),
            markers.end.isCommit == (metadata.state == .prepareCommit),
            markers.end.producerId == metadata.producer.id, markers.end.producerEpoch == metadata.producer.epoch,
            markers.end.transactionVersion == metadata.clientTransactionVersion,
            markers.end.coordinatorEpoch == harness.coordinatorEpoch
        else {
            problems.append("markers of a transaction that is not durably decided")
            return
        }
    }

    private mutating func take(_ response: TransactionResponse, to sent: Sent) {
        let id = producers[sent.producer].transactionalId
        switch (sent.request, response) {
        case (.initProducerId(let request), .initProducerId(let response)):
            count("init \(ErrorCode(rawValue: response.errorCode))")
            guard response.errorCode == 0 else { return }
            let identity = TransactionalProducer(id: response.producerId, epoch: response.producerEpoch)
            if request.producerId == -1, identities[id]?.contains(identity) == true {
                problems.append("one that begins is not alone")
            }
            learn(identity, sent.producer)
        case (.addPartitions(_, let owner, let partitions, _), .partitions(let code)):
            count("add \(code)")
            guard code == .none else { return }
            for partition in partitions { requireMember(id, owner, partition) }
        case (.verifyPartitions(_, let owner, let partitions), .verification(let codes)):
            for (partition, code) in zip(partitions, codes) {
                count("verify \(code)")
                if code == .none { requireMember(id, owner, partition) }
            }
        case (.endTransaction(let request), .endTransaction(let response)):
            count("end \(ErrorCode(rawValue: response.errorCode))")
            guard response.errorCode == 0 else { return }
            let owner = TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
            let decision = TransactionLogModel.Decision(
                transactionalId: id, owner: owner, isCommit: request.committed)
            if !model.decisions.contains(decision) { problems.append("an end is acknowledged that is not in the log") }
            if sent.version >= 5 {
                learn(TransactionalProducer(id: response.producerId, epoch: response.producerEpoch), sent.producer)
            }
        case (.describe, .describe): count("describe")
        default: problems.append("an answer to another request")
        }
    }

    private mutating func requireMember(
        _ id: String, _ owner: TransactionalProducer, _ partition: TransactionPartition
    ) {
        let membership = TransactionLogModel.Membership(transactionalId: id, owner: owner, partition: partition)
        if !model.memberships.contains(membership) {
            problems.append("a partition is confirmed that is not in the log")
        }
    }

    private mutating func learn(_ identity: TransactionalProducer, _ producer: Int) {
        producers[producer].identity = identity
        identities[producers[producer].transactionalId, default: []].append(identity)
    }
}
