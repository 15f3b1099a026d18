import KafkaProtocol

extension ProducerCore {
    /// A broker has answered a request: one result for each of its batches, in their order; nil for one that the reply
    /// does not speak of. For the time of `throttle` it takes no further ones.
    mutating func didReceive(
        _ results: [BatchResult?], for request: BatchRequest, throttle: Duration = .zero, now: Instant
    ) {
        precondition(results.count == request.batches.count)
        release(request)
        if throttle > .zero {
            let until = max(nodes[request.node]?.throttledUntil ?? now, now + throttle)
            nodes[request.node]?.throttledUntil = until
        }
        for (batch, result) in zip(request.batches, results) {
            partitions[batch.slot].inFlightCount -= 1
            guard batch.stage != .finished else { continue }
            guard let result else {
                let error = ClientError(
                    .malformedReply, "the broker's reply says nothing of \(partitions[batch.slot].name)")
                fail(batch, error)
                continue
            }
            judge(batch, result, now)
        }
    }

    /// A request was handed to the system of which no reply comes (`acks=0`).
    mutating func didSendWithoutReply(_ request: BatchRequest) {
        release(request)
        for batch in request.batches {
            partitions[batch.slot].inFlightCount -= 1
            guard batch.stage != .finished else { continue }
            partitions[batch.slot].removeAssigned(batch)
            finish(batch, .acknowledged(baseOffset: -1, appendTime: -1))
        }
    }

    /// A request's connection has ended, or no reply came in time: it may have been carried out.
    mutating func didLose(_ request: BatchRequest, _ error: ClientError, now: Instant) {
        disconnect(request.node, connection: request.connection, now: now)
        for batch in request.batches {
            partitions[batch.slot].inFlightCount -= 1
            guard batch.stage != .finished else { continue }
            batch.isInDoubt = true
            retry(batch, error, now)
        }
        metadata.isNeeded = true
    }

    /// A batch could not be made ready to be sent, so that its request went without it.
    mutating func didFailToSeal(_ batch: ProducerBatch, _ error: ClientError) {
        partitions[batch.slot].inFlightCount -= 1
        guard batch.stage != .finished else { return }
        fail(batch, error)
    }

    private mutating func release(_ request: BatchRequest) {
        guard nodes[request.node]?.connection == request.connection, nodes[request.node]?.state == .connected else {
            return
        }
        nodes[request.node]!.inFlight -= 1
    }

    private mutating func judge(_ batch: ProducerBatch, _ result: BatchResult, _ now: Instant) {
        let code = ErrorCode(rawValue: result.errorCode)
        switch code {
        case .none, .duplicateSequenceNumber:
            // A duplicate older than the broker remembers has no offset that is known.
            partitions[batch.slot].confirm(batch)
            acceptEarlier(than: batch, result)
            partitions[batch.slot].removeAssigned(batch)
            partitions[batch.slot].retryAt = nil
            let offset = code == .none ? result.baseOffset : -1
            finish(batch, .acknowledged(baseOffset: offset, appendTime: result.appendTime))
        case .outOfOrderSequenceNumber where batch.sequence != nil:
            judgeGap(batch, result, now)
        case .unknownProducerId where batch.sequence != nil && !isTransactional:
            // The broker has forgotten this producer with the records that it had of it.
            partitions[batch.slot].needsReset = true
            retry(batch, error(of: batch, result), now)
        case .unknownProducerId where batch.sequence != nil && result.logStartOffset < 0:
            retry(batch, error(of: batch, result), now)
        case .messageTooLarge where split(batch, now: now), .recordListTooLarge where split(batch, now: now):
            break
        default:
            let error = error(of: batch, result)
            guard code.isRetriable else { return fail(batch, error) }
            if !Self.meansNotWritten(code) { batch.isInDoubt = true }
            if Self.meansOldMetadata(code) {
                metadata.isNeeded = true
                if code == .notLeaderOrFollower { partitions[batch.slot].leader = nil }
            }
            retry(batch, error, now)
        }
    }

    /// A log takes numbers only in order: what is in doubt and comes before a batch that it has, it has too. That is
    /// false when one before was refused for certain: then the log has forgotten the producer and takes any number.
    private mutating func acceptEarlier(than batch: ProducerBatch, _ result: BatchResult) {
        let slot = batch.slot
        let earlier = partitions[slot].waiting(before: batch)
        guard earlier.allSatisfy(\.isInDoubt) else {
            partitions[slot].needsReset = true
            if isTransactional { failForGap(slot) }
            return
        }
        for batch in earlier {
            partitions[slot].removeAssigned(batch)
            finish(batch, .acknowledged(baseOffset: -1, appendTime: result.appendTime))
        }
    }

    /// The broker calls a batch out of order. When an earlier one is still to be written, that is no wonder. Else numbers
    /// are missing in the log, or the batch is in it already: a broker that was stopped may remember nothing but the
    /// last batch. Then that one is among those in doubt, so that these are sent again before all get new numbers.
    private mutating func judgeGap(_ batch: ProducerBatch, _ result: BatchResult, _ now: Instant) {
        let error = error(of: batch, result)
        let slot = batch.slot
        guard partitions[slot].assigned.first(where: { !$0.isOutOfOrder }) === batch else {
            return retry(batch, error, now)
        }
        guard !isTransactional else { return fail(batch, error) }
        let later = partitions[slot].assigned.drop { $0 !== batch }.dropFirst()
        if batch.isInDoubt, later.contains(where: \.isInDoubt) {
            batch.isOutOfOrder = true
            batch.stage = .waitsForRetry
        } else {
            partitions[slot].needsReset = true
            retry(batch, error, now)
        }
    }

    private mutating func retry(_ batch: ProducerBatch, _ error: ClientError, _ now: Instant) {
        let slot = batch.slot
        batch.stage = .waitsForRetry
        guard !batch.isAbandoned else {
            partitions[slot].removeAssigned(batch)
            if batch.sequence != nil { leaveUnresolved(slot) }
            return finish(batch, .failed(error))
        }
        if let transaction, transaction.failure != nil || transaction.phase == .aborting {
            partitions[slot].removeAssigned(batch)
            leaveUnresolved(slot)
            return finish(batch, .failed(error))
        }
        let due = now + delay(after: batch.attempts)
        partitions[slot].retryAt = max(partitions[slot].retryAt ?? due, due)
    }

    /// Fails a batch for good. Its numbers are missing now, most likely. Those after it find out: they keep theirs until the
    /// broker says that there is a gap, because an earlier attempt may have brought them into the log.
    private mutating func fail(_ batch: ProducerBatch, _ error: ClientError) {
        let slot = batch.slot
        partitions[slot].removeAssigned(batch)
        if batch.sequence != nil { leaveUnresolved(slot) }
        finish(batch, .failed(asTransactionTellsIt(error)))
        failTransaction(error)
        if let code = error.protocolCode, Self.isFatal(code) {
            guard code == .producerFenced else { return end(error.fatal()) }
            end(ClientError(.fenced, error.message, nextStep: error.nextStep, protocolCode: code, isFatal: true))
        }
    }

    /// What is wrong with the transaction and not with the record: it is aborted, and running it again may succeed (KIP-588).
    private func asTransactionTellsIt(_ error: ClientError) -> ClientError {
        switch error.protocolCode {
        case .invalidProducerEpoch, .invalidTxnState, .transactionAbortable, .unknownProducerId,
            .outOfOrderSequenceNumber:
            guard isTransactional else { return error }
            return ClientError(
                .transactionAborted, error.message, nextStep: "run the transaction again",
                protocolCode: error.protocolCode)
        default: return error
        }
    }

    mutating func failForGap(_ slot: Int) {
        let error = ClientError(
            .transactionAborted, "\(partitions[slot].name): it is not known whether a batch was written")
        failTransaction(error)
    }

    private func error(of batch: ProducerBatch, _ result: BatchResult) -> ClientError {
        .refused(
            ErrorCode(rawValue: result.errorCode), partitions[batch.slot].name, message: result.message)
    }

    private static func meansOldMetadata(_ code: ErrorCode) -> Bool {
        switch code {
        case .notLeaderOrFollower, .unknownTopicOrPartition, .leaderNotAvailable, .replicaNotAvailable,
            .fencedLeaderEpoch, .unknownLeaderEpoch, .kafkaStorageError, .networkException, .brokerNotAvailable:
            true
        default: false
        }
    }

    /// Whether a refusal leaves no doubt that the batch is not in the log. Another leader and a missing partition do: with
    /// `acks=all` a broker says so too when it ceases to lead while it waits for the followers.
    private static func meansNotWritten(_ code: ErrorCode) -> Bool {
        switch code {
        case .notEnoughReplicas, .corruptMessage, .fencedLeaderEpoch, .unknownLeaderEpoch, .leaderNotAvailable,
            .concurrentTransactions:
            true
        default: false
        }
    }

    /// Errors after which no other batch can succeed either.
    private static func isFatal(_ code: ErrorCode) -> Bool {
        switch code {
        case .clusterAuthorizationFailed, .transactionalIdAuthorizationFailed, .producerFenced,
            .unsupportedVersion, .invalidProducerIdMapping:
            true
        default: false
        }
    }
}
