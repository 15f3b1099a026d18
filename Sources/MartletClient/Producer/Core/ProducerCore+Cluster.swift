import KafkaProtocol

/// When to ask for the cluster's metadata again.
struct MetadataNeed {
    var isNeeded = false
    var isAsking = false
    var failures = 0
    var retryAt: ContinuousClock.Instant?
    var last: ContinuousClock.Instant?
}

extension ProducerCore {
    mutating func planMetadata(_ now: Instant) {
        guard !metadata.isAsking, topics.contains(where: \.isUsed) else { return }
        if let last = metadata.last {
            let due = last + configuration.metadataMaximumAge
            if due <= now { metadata.isNeeded = true } else { plan(due) }
        }
        guard metadata.isNeeded else { return }
        if let retryAt = metadata.retryAt, retryAt > now { return plan(retryAt) }
        metadata.isNeeded = false
        metadata.isAsking = true
        actions.metadata = topics.filter(\.isUsed).map(\.name)
        // Those that nobody writes to any more are not asked for again (`metadata.max.idle.ms`).
        for index in topics.indices {
            topics[index].isUsed =
                topics[index].staged != nil || topics[index].slots.contains { partitions[$0].isListed }
        }
    }

    /// The cluster's answer, or why there is none.
    mutating func didLearn(_ answer: Result<MetadataResponse, ClientError>, now: Instant) {
        metadata.isAsking = false
        switch answer {
        case .failure:
            metadata.isNeeded = true
        case .success(let response):
            metadata.last = now
            for topic in response.topics { learn(topic, now) }
            for topic in topics where topic.staged != nil { metadata.isNeeded = true }
            for slot in listed where partitions[slot].leader == nil { metadata.isNeeded = true }
        }
        // A pause after an answer that did not help, so that an error that stays does not become a storm.
        metadata.failures = metadata.isNeeded ? metadata.failures + 1 : 0
        metadata.retryAt = metadata.isNeeded ? now + delay(after: metadata.failures) : nil
    }

    private mutating func learn(_ answer: MetadataResponse.MetadataResponseTopic, _ now: Instant) {
        guard let name = answer.name, let index = topicIndexes[name] else { return }
        let code = ErrorCode(rawValue: answer.errorCode)
        guard code == .none else {
            let error = ClientError.refused(code, "topic '\(name)'")
            topics[index].failure = error
            if !code.isRetriable { failStaged(index, error) }
            return
        }
        topics[index].failure = nil
        let isSame = topics[index].id == answer.topicId
        topics[index].id = answer.topicId
        // Partitions can only become more; their numbers have no holes.
        let sorted = answer.partitions.sorted { $0.partitionIndex < $1.partitionIndex }
        if !isSame { forgetPartitions(of: index, from: sorted.count, now) }
        for (number, partition) in sorted.enumerated() where Int(partition.partitionIndex) == number {
            if number == topics[index].slots.count {
                topics[index].slots.append(partitions.count)
                partitions.append(PartitionQueue(topic: name, partition: Int32(number)))
            }
            let slot = topics[index].slots[number]
            if !isSame { partitions[slot].didChangeLog() }
            // What a broker that lags behind says of an earlier leader is no news.
            if isSame, partition.leaderEpoch >= 0, partition.leaderEpoch < partitions[slot].leaderEpoch { continue }
            partitions[slot].leaderEpoch = partition.leaderEpoch
            partitions[slot].leader = partition.leaderId >= 0 ? partition.leaderId : nil
        }
        if !topics[index].slots.isEmpty { placeStaged(index, now: now) }
    }

    /// The topic was made anew, with fewer partitions perhaps: what waits for those that are gone fails.
    private mutating func forgetPartitions(of index: Int, from count: Int, _ now: Instant) {
        guard count > 0, topics[index].slots.count > count else { return }
        for slot in topics[index].slots[count...] {
            partitions[slot].leader = nil
            let error = ClientError.refused(.unknownTopicOrPartition, partitions[slot].name)
            for batch in partitions[slot].all { drop(batch, error) }
        }
        topics[index].slots.removeSubrange(count...)
        topics[index].sticky = StickyPartitioner()
    }

    // MARK: Connections

    mutating func didConnect(_ node: Int32, connection: Int) {
        guard nodes[node]?.connection == connection, nodes[node]?.state == .connecting else { return }
        nodes[node]!.state = .connected
        nodes[node]!.inFlight = 0
        nodes[node]!.failures = 0
        nodes[node]!.retryAt = nil
    }

    mutating func didFailToConnect(_ node: Int32, connection: Int, now: Instant) {
        guard nodes[node]?.connection == connection else { return }
        disconnect(node, connection: connection, now: now)
        metadata.isNeeded = true
    }

    /// A connection has ended. Its requests are reported one by one, here or before.
    mutating func disconnect(_ node: Int32, connection: Int, now: Instant) {
        guard nodes[node]?.connection == connection, nodes[node]?.state != .idle else { return }
        nodes[node]!.state = .idle
        nodes[node]!.failures += 1
        nodes[node]!.inFlight = 0
        nodes[node]!.retryAt = now + delay(after: nodes[node]!.failures)
    }

    // MARK: Identity

    /// The answer to the request for a producer id.
    mutating func didIdentify(_ answer: Result<ProducerIdentity, ClientError>, now: Instant) {
        switch answer {
        case .success(let received):
            identity = .known(received)
            identityFailures = 0
            identityRetryAt = nil
        case .failure(let error):
            identity = .missing
            identityFailures += 1
            identityRetryAt = now + delay(after: identityFailures)
            if !error.isRetriable { end(error.fatal()) }
        }
    }

    // MARK: Transactions

    /// The coordinator's answer to the partitions that it was told of.
    mutating func didAddPartitions(_ answer: Result<Void, ClientError>) {
        switch answer {
        case .success:
            transaction!.didAdd()
        case .failure(let error):
            transaction!.didFailToAdd()
            failTransaction(error)
            if error.isFatal { end(error) }
        }
        needsStep = true
    }

    /// Fails what was not sent, or must be sent again; what is in flight comes to its end.
    mutating func abortTransaction() {
        let error =
            transaction!.failure ?? ClientError(.transactionAborted, "the transaction was aborted before it was sent")
        transaction!.abort()
        failWaiting(error)
        needsStep = true
    }

    /// The transaction cannot be committed any more, so that nothing of it needs to be sent.
    mutating func failTransaction(_ error: ClientError) {
        guard transaction != nil, transaction!.fail(error) else { return }
        failWaiting(transaction!.failure!)
    }

    private mutating func failWaiting(_ error: ClientError) {
        for index in topics.indices { failStaged(index, error) }
        for slot in listed {
            for batch in partitions[slot].takeAllUnsent() { finish(batch, .failed(error)) }
            for batch in partitions[slot].assigned where batch.stage == .waitsForRetry {
                partitions[slot].removeAssigned(batch)
                leaveUnresolved(slot)
                finish(batch, .failed(error))
            }
        }
    }
}
